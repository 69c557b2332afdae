/** Ask again and again while something lives: two seconds apart, three where nothing is new, rarer after errors, not at all in a hidden tab. */

import { useEffect, useRef, useState } from "preact/hooks";
import { Problem, request } from "./fetching";

export const EVERY_SECONDS = 2;
/** Once so many answers had nothing new. */
export const QUIET_SECONDS = 3;
export const QUIET_AFTER = 10;
const MOST_SECONDS = 30;
/** So often it is asked after the end: some things are written down a little later. */
export const LAST_TIMES = 3;
/** A tab that is looked away from for a moment goes on. */
export const HIDDEN_SECONDS = 5;
/** From here on a page says that what it shows is old. */
export const STALE_SECONDS = 15;

export interface Polled<T> {
  value: T | null;
  problem: Problem | null;
  /** By this browser's clock, in seconds: of the last good answer. */
  heardAt: number | null;
  /** Whether it goes on asking. */
  isLive: boolean;
  again: () => void;
}

export interface Source<T> {
  /** Of the next request, from what is known. */
  url: (known: T | null) => string;
  merge: (known: T | null, answer: unknown) => T;
  isLive: (value: T) => boolean;
  everySeconds?: number | ((value: T) => number | undefined);
  /** A larger answer is a problem. */
  mostBytes?: number;
  /** Whether what is known may be why the request was refused: it is then made once more, as where nothing is known. */
  isStale?: (known: T, problem: Problem) => boolean;
  /** Whether an answer tells anything that was not known; each does where this is not said. */
  isNews?: (answer: unknown) => boolean;
  /** Changes when something else is asked for. */
  key: string;
}

/** Of a view that is sent whole, or by its hash alone where that is known: then what is known stays. */
export function wholeAt<T extends { hash?: string }>(url: string): Pick<Source<T>, "key" | "url" | "merge"> {
  return {
    key: url,
    url: (known) => (known?.hash ? `${url}?${new URLSearchParams({ known: known.hash })}` : url),
    merge: (known, answer) => {
      const view = (answer ?? {}) as T;
      return known && view.hash && view.hash === known.hash ? { ...known, ...view } : view;
    },
  };
}

export const nowHere = () => Date.now() / 1000;

export function usePolled<T>(source: Source<T> | null): Polled<T> {
  const [, redraw] = useState(0);
  const held = useRef<Poller<T> | null>(null);
  held.current ??= new Poller<T>(() => redraw((count) => count + 1));
  const poller = held.current;
  poller.source = source;
  useEffect(() => {
    poller.start();
    return () => poller.stop();
  }, []);
  useEffect(() => poller.ask(), [source?.key]);
  return poller.polled;
}

class Poller<T> {
  source: Source<T> | null = null;
  polled: Polled<T>;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private request: AbortController | null = null;
  private failures = 0;
  private lastTimes = 0;
  private quiet = 0;
  private runs = false;
  private hiddenAt: number | null = null;

  constructor(private readonly changed: () => void) {
    this.polled = { value: null, problem: null, heardAt: null, isLive: true, again: () => this.ask() };
  }

  start(): void {
    this.runs = true;
    document.addEventListener("visibilitychange", this.seen);
    this.seen();
  }

  stop(): void {
    this.runs = false;
    document.removeEventListener("visibilitychange", this.seen);
    clearTimeout(this.timer);
    this.request?.abort();
  }

  /** Ask now; what was asked before is not waited for. */
  ask(): void {
    if (!this.runs || this.source === null) {
      return;
    }
    clearTimeout(this.timer);
    this.request?.abort();
    this.request = new AbortController();
    void this.once(this.source, this.request);
  }

  private readonly seen = (): void => {
    if (document.visibilityState === "hidden") {
      this.hiddenAt ??= nowHere();
      return;
    }
    const wasAway = this.hiddenAt !== null && nowHere() - this.hiddenAt > HIDDEN_SECONDS;
    this.hiddenAt = null;
    if (wasAway) {
      this.ask();
    }
  };

  private async once(source: Source<T>, request: AbortController): Promise<void> {
    try {
      const { known, answer } = await this.fetched(source, request);
      if (request.signal.aborted) {
        return;
      }
      const value = source.merge(known, answer);
      this.failures = 0;
      this.quiet = source.isNews?.(answer) === false ? this.quiet + 1 : 0;
      const isLive = source.isLive(value);
      this.polled = { ...this.polled, value, problem: null, heardAt: nowHere(), isLive };
      this.lastTimes = isLive ? LAST_TIMES : this.lastTimes - 1;
      if (isLive || this.lastTimes >= 0) {
        const { everySeconds: pace } = source;
        const seconds = typeof pace === "function" ? pace(value) : pace;
        this.later(seconds ?? (this.quiet >= QUIET_AFTER ? QUIET_SECONDS : EVERY_SECONDS));
      }
    } catch (error) {
      if (request.signal.aborted) {
        return;
      }
      const problem = error instanceof Problem ? error : new Problem(-1, String(error));
      this.failures += 1;
      this.polled = { ...this.polled, problem, isLive: problem.passes };
      if (problem.passes) {
        this.later(Math.min(MOST_SECONDS, EVERY_SECONDS * 2 ** this.failures));
      }
    }
    this.changed();
  }

  private async fetched(source: Source<T>, abort: AbortController): Promise<{ known: T | null; answer: unknown }> {
    const known = this.polled.value;
    const get = (of: T | null) => request(source.url(of), { signal: abort.signal }, source.mostBytes);
    try {
      return { known, answer: await get(known) };
    } catch (error) {
      if (known !== null && error instanceof Problem && source.isStale?.(known, error)) {
        return { known: null, answer: await get(null) };
      }
      throw error;
    }
  }

  private later(seconds: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const away = this.hiddenAt === null ? 0 : nowHere() - this.hiddenAt;
      if (this.runs && away <= HIDDEN_SECONDS) {
        this.ask();
      }
    }, seconds * 1000);
  }
}

/** The current second, for what counts up; stands still when `runs` is false. */
export function useNow(runs = true): number {
  const [now, set] = useState(nowHere);
  useEffect(() => {
    if (!runs) {
      return;
    }
    const timer = setInterval(() => set(nowHere()), 1000);
    return () => clearInterval(timer);
  }, [runs]);
  return now;
}
