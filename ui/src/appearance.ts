/**
 * How Airflow looks to this person: its theme, colours, font and time zone, read from the document around the iframe
 * (of the same origin) and followed while they change.
 *
 * Airflow 3.3: next-themes puts `light` or `dark` on the class of `<html>`, under `theme` in localStorage; Chakra's
 * colours are custom properties; the zone is JSON under `timezone`, told by an event `local-storage` in its own window.
 */

import { createContext } from "preact";
import { useContext } from "preact/hooks";

export interface Appearance {
  mode: "light" | "dark";
  zone: string;
  /** Of a file of its own: time does not go on in it. */
  isStill: boolean;
}

export const AppearanceContext = createContext<Appearance>({ mode: "light", zone: "UTC", isStill: false });
export const useAppearance = () => useContext(AppearanceContext);

/** Ours -> Airflow's; what Airflow does not give keeps the value of the style sheet. */
const COLOURS: Record<string, string> = {
  "--bg": "--chakra-colors-bg",
  "--bg-subtle": "--chakra-colors-bg-subtle",
  "--bg-muted": "--chakra-colors-bg-muted",
  "--fg": "--chakra-colors-fg",
  "--fg-muted": "--chakra-colors-fg-muted",
  "--border": "--chakra-colors-border",
};

const DARK = "(prefers-color-scheme: dark)";

/** The window around the iframe; null where there is none or it is of another origin. */
export function outer(): Window | null {
  try {
    return window.parent !== window && window.parent.document ? window.parent : null;
  } catch {
    return null;
  }
}

function stored(key: string): string | null {
  try {
    return window.localStorage.getItem(key);
  } catch {
    return null;
  }
}

function modeOf(around: Document | null, alone: boolean): Appearance["mode"] {
  const root = around?.documentElement;
  const named = [root?.dataset.theme, ...(root?.classList ?? []), alone ? null : stored("theme")];
  const found = named.find((name) => name === "dark" || name === "light");
  return (found as Appearance["mode"] | undefined) ?? (window.matchMedia(DARK).matches ? "dark" : "light");
}

function zoneOf(alone: boolean): string {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  try {
    const zone: unknown = alone ? null : JSON.parse(stored("timezone") ?? "null");
    if (typeof zone === "string" && zone) {
      new Intl.DateTimeFormat("en", { timeZone: zone });
      return zone;
    }
  } catch {
    // Not a zone that this browser knows.
  }
  return own;
}

/** Read it and put it on the document; `alone`: a file of its own, which follows the system only. */
export function apply(alone: boolean): Appearance {
  const around = alone ? null : (outer()?.document ?? null);
  const mode = modeOf(around, alone);
  const root = document.documentElement;
  root.dataset.theme = mode;
  const theirs = around ? getComputedStyle(around.documentElement) : null;
  for (const [ours, name] of Object.entries(COLOURS)) {
    const value = theirs?.getPropertyValue(name).trim();
    if (value) {
      root.style.setProperty(ours, value);
    } else {
      root.style.removeProperty(ours);
    }
  }
  const font = around?.body ? getComputedStyle(around.body).fontFamily : "";
  if (font) {
    root.style.setProperty("--font", font);
  }
  return { mode, zone: zoneOf(alone), isStill: alone };
}

/** Call back whenever it may have changed; gives what ends that. */
export function follow(alone: boolean, changed: () => void): () => void {
  const ends: (() => void)[] = [];
  const listen = (target: EventTarget, name: string) => {
    target.addEventListener(name, changed);
    ends.push(() => target.removeEventListener(name, changed));
  };
  listen(window.matchMedia(DARK), "change");
  const around = alone ? null : outer();
  if (!alone) {
    listen(window, "storage");
  }
  if (around) {
    listen(around, "local-storage");
    const observer = new MutationObserver(changed);
    observer.observe(around.document.documentElement, { attributeFilter: ["class", "data-theme", "style"] });
    ends.push(() => observer.disconnect());
  }
  return () => ends.forEach((end) => end());
}

/** A colour of the style sheet as `rgb(…)`: ECharts reads no oklch. */
export function colour(name: string): string {
  const value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context || !value) {
    return "#888888";
  }
  context.fillStyle = value;
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
  return `rgba(${red},${green},${blue},${((alpha ?? 255) / 255).toFixed(3)})`;
}
