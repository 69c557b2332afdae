/** The small parts that pages are made of. */

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { useAppearance, outer } from "../appearance";
import { NOTHING, hundredths, isNumber, plural, span, time } from "../format";
import { useNow } from "../polling";
import { Said, clean } from "../text";
import type { Maybe } from "../types";

export type Tone = "good" | "bad" | "busy" | "wait" | "quiet";

export function Panel(props: {
  title: string;
  children: ComponentChildren;
  aside?: ComponentChildren;
  wide?: boolean;
  class?: string;
}) {
  const id = useId();
  return (
    <section class={`panel ${props.wide ? "wide" : ""} ${props.class ?? ""}`} aria-labelledby={id}>
      <header class="panel-head">
        <h2 id={id}>{props.title}</h2>
        {props.aside}
      </header>
      {props.children}
    </section>
  );
}

/** A panel whose content is made only once it is open. */
export function Fold(props: { title: string; hint?: string; isOpen?: boolean; children: () => ComponentChildren }) {
  const [isOpen, setOpen] = useState(Boolean(props.isOpen));
  const id = useId();
  return (
    <section class="panel wide fold">
      <h2>
        <button type="button" class="fold-button" aria-expanded={isOpen} aria-controls={id} onClick={() => setOpen(!isOpen)}>
          <span class="fold-arrow" aria-hidden="true" />
          {props.title}
          {props.hint && <span class="fold-hint">{props.hint}</span>}
        </button>
      </h2>
      <div id={id} hidden={!isOpen} class="fold-body">
        {isOpen && props.children()}
      </div>
    </section>
  );
}

/** What is not shown, where something is not. */
export function LeftOut({ cut, names }: { cut: Maybe<Record<string, number>>; names: Record<string, string> }) {
  const said = Object.entries(names)
    .map(([key, noun]) => [cut?.[key], noun] as const)
    .filter(([count]) => isNumber(count) && count > 0)
    .map(([count, noun]) => plural(count as number, noun));
  return said.length ? <p class="quiet note">Too many to keep or show: {said.join(", ")} left out.</p> : null;
}

export function Pill({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return (
    <span class={`pill ${tone}`}>
      <span class="pill-dot" aria-hidden="true" />
      {children}
    </span>
  );
}

export function Notice({ tone, title, children }: { tone: Tone; title: ComponentChildren; children?: ComponentChildren }) {
  return (
    <div class={`notice ${tone}`}>
      <strong>{title}</strong>
      {children && <div class="notice-body">{children}</div>}
    </div>
  );
}

/** Names and values; a row without a value is left out. */
export function Facts({ rows }: { rows: [string, ComponentChildren][] }) {
  const shown = rows.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return (
    <dl class="facts">
      {shown.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function When({ at, short }: { at: Maybe<number>; short?: boolean }) {
  const { zone } = useAppearance();
  if (!isNumber(at)) {
    return <>{NOTHING}</>;
  }
  return (
    <time dateTime={iso(at)} title={`${time(at, zone)} ${zone}`}>
      {time(at, zone, short)}
    </time>
  );
}

function iso(at: number): string | undefined {
  return Math.abs(at) < 8e12 ? new Date(at * 1000).toISOString() : undefined;
}

/** `40 s ago`, counting. `skew`: seconds that the server's clock is before ours. */
export function Ago({ at, skew = 0 }: { at: Maybe<number>; skew?: number }) {
  const { zone, isStill } = useAppearance();
  const now = useNow(!isStill);
  if (!isNumber(at) || isStill) {
    return <When at={at} />;
  }
  return <time title={`${time(at, zone)} ${zone}`}>{span(Math.round(Math.max(0, now + skew - at)))} ago</time>;
}

export function Progress({ done, total, label, tone }: { done: number; total: number; label: string; tone?: Tone }) {
  const share = total > 0 ? Math.min(1, Math.max(0, done / total)) : 0;
  return (
    <div
      class={`progress ${tone ?? ""}`}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={hundredths(share)}
    >
      <div class="progress-bar" style={{ width: `${share * 100}%` }} />
    </div>
  );
}

export function safeUrl(url: unknown): string | null {
  try {
    const parsed = new URL(clean(url), document.baseURI);
    return parsed.protocol === "http:" || parsed.protocol === "https:" ? parsed.href : null;
  } catch {
    return null;
  }
}

/**
 * A link out of the iframe. Its sandbox lets it open no window and leave no page, so a link is made and clicked in the
 * document around it. `inside`: a page of Airflow, which opens in Airflow's own tab.
 */
export function Link(props: { href: unknown; children: ComponentChildren; inside?: boolean; class?: string }) {
  const href = safeUrl(props.href);
  if (href === null) {
    return <span class={props.class}>{props.children}</span>;
  }
  const target = props.inside ? "_top" : "_blank";
  const leave = (event: MouseEvent) => {
    const around = outer();
    if (!around) {
      return;
    }
    event.preventDefault();
    const link = around.document.createElement("a");
    link.href = href;
    link.rel = "noopener noreferrer";
    link.target = props.inside && !(event.ctrlKey || event.metaKey) ? "_self" : "_blank";
    link.hidden = true;
    around.document.body.append(link);
    link.click();
    link.remove();
  };
  return (
    <a href={href} target={target} rel="noopener noreferrer" class={props.class} onClick={leave}>
      {props.children}
      {!props.inside && <span class="out" role="img" aria-label="(opens a new tab)" />}
    </a>
  );
}

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [said, say] = useState("");
  useEffect(() => {
    const timer = said ? setTimeout(() => say(""), 2000) : undefined;
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => say((await copied(text)) ? "Copied" : "Select and copy it by hand");
  return (
    <button type="button" class="button small" onClick={() => void copy()}>
      <span aria-live="polite">{said || label}</span>
    </button>
  );
}

async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without the permission (an iframe, plain http): by the older way.
  }
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "off-screen";
  document.body.append(field);
  field.select();
  const isDone = document.execCommand("copy");
  field.remove();
  return isDone;
}

/** A table that may be wider than the page. */
export function Scroll({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <div class="scroll" role="group" aria-label={label} tabIndex={0}>
      {children}
    </div>
  );
}

export function SimpleTable(props: { label: string; head: string[]; rows: ComponentChildren[][]; numeric?: number[] }) {
  const side = (at: number) => (props.numeric?.includes(at) ? "number" : undefined);
  return (
    <Scroll label={props.label}>
      <table>
        <thead>
          <tr>
            {props.head.map((name, at) => (
              <th key={at} scope="col" class={side(at)}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((cells, row) => (
            <tr key={row}>
              {cells.map((cell, at) => (
                <td key={at} class={side(at)}>
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

/** A question before something is done; the browser's own modal dialog, so focus and Escape are right. */
export function Dialog(props: { title: string; children: ComponentChildren; onClose: () => void }) {
  const place = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    place.current?.showModal();
  }, []);
  return (
    <dialog ref={place} aria-labelledby={id} onClose={props.onClose}>
      <h2 id={id}>{props.title}</h2>
      {props.children}
    </dialog>
  );
}

/** How a dialog is left: by doing nothing, or by doing it. */
export function DialogButtons({ yes, onYes, onNo, isDanger }: { yes: string; onYes: () => void; onNo: () => void; isDanger?: boolean }) {
  return (
    <div class="dialog-buttons">
      <button type="button" class="button" onClick={onNo}>
        Cancel
      </button>
      <button type="button" class={`button ${isDanger ? "danger" : "primary"}`} onClick={onYes}>
        {yes}
      </button>
    </div>
  );
}

export function Code({ text }: { text: string }) {
  return (
    <div class="code">
      <pre tabIndex={0}>
        <Said text={text} />
      </pre>
      <CopyButton text={clean(text)} />
    </div>
  );
}
