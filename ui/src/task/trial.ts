/** What a trial was given and what it gave. */

import { isNumber } from "../format";
import type { Json, TrialRow } from "../types";

/** A parameter of a trial; `a/b` is `b` within `a`, unless there is one of that whole name. */
export function param(row: TrialRow, name: string): string | number | null {
  const config = row.config ?? {};
  if (Object.hasOwn(config, name)) {
    return scalar(config[name]);
  }
  let value: Json | undefined = config as Json;
  for (const part of name.split("/")) {
    value = value && typeof value === "object" && !Array.isArray(value) && Object.hasOwn(value, part) ? value[part] : undefined;
  }
  return scalar(value);
}

function scalar(value: Json | undefined): string | number | null {
  if (value === undefined || value === null) {
    return null;
  }
  return isNumber(value) ? value : typeof value === "string" ? value : JSON.stringify(value);
}

export function value(row: TrialRow, metric: string | undefined): number | null {
  const values = row.values ?? {};
  const found = metric !== undefined && Object.hasOwn(values, metric) ? values[metric] : null;
  return isNumber(found) ? found : null;
}
