/** Numbers, spans and times as people read them. */

import type { Maybe } from "./types";

export const NOTHING = "–";

export function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** What a record of others' names has under one of them; never what every object has. */
export function own<T>(record: Maybe<Record<string, T>>, name: Maybe<string>): T | undefined {
  return record && name !== null && name !== undefined && Object.hasOwn(record, name) ? record[name] : undefined;
}

/** Four digits that count; very large and very small ones with an exponent. */
export function number(value: unknown): string {
  if (!isNumber(value)) {
    return NOTHING;
  }
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e15) {
    return value.toLocaleString("en-US");
  }
  if (size !== 0 && (size >= 1e9 || size < 1e-4)) {
    return value.toExponential(3).replace(/\.?0+e/, "e");
  }
  return Number(value.toPrecision(size >= 1000 ? 6 : 4)).toLocaleString("en-US", { maximumFractionDigits: 10 });
}

/** Few characters, for an axis: 1.2M. */
export function brief(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e15 || size < 1e-3)) {
    return value.toExponential(1).replace(".0e", "e");
  }
  return value.toLocaleString("en-US", { notation: "compact", maximumSignificantDigits: 4 });
}

export function bytes(value: unknown): string {
  if (!isNumber(value)) {
    return NOTHING;
  }
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let size = value;
  let unit = 0;
  while (Math.abs(size) >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${Number(size.toPrecision(3)).toLocaleString("en-US")} ${units[unit]}`;
}

/** `4.2 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`. */
export function span(seconds: Maybe<number>): string {
  if (!isNumber(seconds)) {
    return NOTHING;
  }
  const whole = Math.max(0, seconds);
  if (whole < 10) {
    return `${Number(whole.toFixed(1))} s`;
  }
  const pairs: [number, string][] = [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const rounded = Math.round(whole);
  const at = pairs.findIndex(([unit]) => rounded >= unit);
  const [unit, name] = pairs[Math.max(0, at)] as [number, string];
  const first = Math.floor(rounded / unit);
  const next = pairs[at + 1];
  const rest = next === undefined ? 0 : Math.floor((rounded % unit) / next[0]);
  return rest > 0 && next !== undefined ? `${first} ${name} ${rest} ${next[1]}` : `${first} ${name}`;
}

/** A share in hundredths; all of them only where all is done. */
export function hundredths(share: number): number {
  return share >= 1 ? 100 : Math.min(99, Math.round(Math.max(0, share) * 100));
}

export function percent(share: number): string {
  return `${hundredths(share)} %`;
}

/** `352 /s`; of few, the digits that count: `0.2 /s`. */
export function perSecond(rate: unknown): string {
  if (!isNumber(rate)) {
    return NOTHING;
  }
  return `${number(Math.abs(rate) >= 10 ? Math.round(rate) : Number(rate.toPrecision(2)))} /s`;
}

const FORMATS = new Map<string, Intl.DateTimeFormat>();

function formatOf(zone: string, short: boolean): Intl.DateTimeFormat {
  const key = `${zone}${short}`;
  let format = FORMATS.get(key);
  if (format === undefined) {
    const day = short ? {} : ({ year: "numeric", month: "2-digit", day: "2-digit" } as const);
    const hour = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" } as const;
    format = new Intl.DateTimeFormat("sv-SE", { ...day, ...hour, timeZone: zone });
    FORMATS.set(key, format);
  }
  return format;
}

/** `2026-11-29 18:05:48`, as Airflow writes it; `short`: without the day. */
export function time(at: Maybe<number>, zone: string, short = false): string {
  if (!isNumber(at) || Math.abs(at) > 8e12) {
    return NOTHING;
  }
  return formatOf(zone, short).format(new Date(at * 1000));
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${number(count)} ${count === 1 ? one : many}`;
}
