/** Plain JSON as a tree that opens, made of text. */

import { isNumber } from "../format";
import { Said, short } from "../text";
import type { Json } from "../types";
import { Code } from "./basics";

const MOST_CHILDREN = 200;

export function Tree({ value }: { value: Json }) {
  if (typeof value === "string") {
    return <Code text={value} />;
  }
  return (
    <div class="tree">
      <Node value={value} depth={0} />
    </div>
  );
}

function Node({ name, value, depth }: { name?: string; value: Json; depth: number }) {
  const label = name === undefined ? null : <Said text={name} most={80} class="tree-name" />;
  if (value === null || typeof value !== "object") {
    return (
      <div class="tree-leaf">
        {label}
        <Leaf value={value} />
      </div>
    );
  }
  const isList = Array.isArray(value);
  const entries = isList ? value.map((one, at): [string, Json] => [String(at), one]) : Object.entries(value);
  if (!entries.length) {
    return (
      <div class="tree-leaf">
        {label}
        <span class="quiet">{isList ? "[ ]" : "{ }"}</span>
      </div>
    );
  }
  return (
    <details open={depth < 2 && entries.length <= 30} class="tree-branch">
      <summary>
        {label}
        <span class="quiet">{isList ? `[${entries.length}]` : peek(entries)}</span>
      </summary>
      <div class="tree-children">
        {depth > 12 ? (
          <span class="quiet">deeper than is shown</span>
        ) : (
          entries.slice(0, MOST_CHILDREN).map(([key, child]) => <Node key={key} name={key} value={child} depth={depth + 1} />)
        )}
        {entries.length > MOST_CHILDREN && <span class="quiet">and {entries.length - MOST_CHILDREN} more</span>}
      </div>
    </details>
  );
}

function peek(entries: [string, Json][]): string {
  return `{ ${short(entries.slice(0, 3).map(([key]) => key).join(", "), 40)}${entries.length > 3 ? ", …" : ""} }`;
}

function Leaf({ value }: { value: Exclude<Json, object> | null }) {
  if (isNumber(value)) {
    return <span class="tree-number">{String(value)}</span>;
  }
  if (typeof value === "string") {
    return <Said text={value} class="tree-text" />;
  }
  return <span class="tree-word">{String(value)}</span>;
}
