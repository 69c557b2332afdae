/** Curves of metrics, each in a small chart of its own, with one pointer and one zoom. */

import { useId, useMemo, useState } from "preact/hooks";
import { Ago, LeftOut, Panel, SimpleTable } from "../parts/basics";
import { Curves, type Line } from "../parts/curves";
import { isNumber, number, own, plural } from "../format";
import { Said, clean, named } from "../text";
import { usePage } from "./view";

const AT_FIRST = 6;
/** As many as an answer holds: `MOST_SERIES` of the server. */
const MOST_SHOWN = 12;

export interface Look {
  isLog: boolean;
  smoothing: number;
}

export function LookTools({ look, set }: { look: Look; set: (look: Look) => void }) {
  const id = useId();
  return (
    <div class="tools">
      <label class="field">
        <input type="checkbox" checked={look.isLog} onChange={() => set({ ...look, isLog: !look.isLog })} />
        Log scale
      </label>
      <label class="field" for={id}>
        Smoothing
        <input
          id={id}
          type="range"
          min="0"
          max="0.98"
          step="0.02"
          value={look.smoothing}
          aria-valuetext={look.smoothing.toFixed(2)}
          onInput={(event) => set({ ...look, smoothing: Number(event.currentTarget.value) })}
        />
        <span class="field-value">{look.smoothing.toFixed(2)}</span>
      </label>
    </div>
  );
}

export function Training({ chosen, choose }: { chosen: string[] | null; choose: (names: string[]) => void }) {
  const { sections, isReport } = usePage();
  const metrics = sections.metrics;
  const [look, setLook] = useState<Look>({ isLog: false, smoothing: 0 });
  const names = metrics?.names ?? Object.keys(metrics?.series ?? {});
  const held = names.filter((name) => own(metrics?.series, name));
  // A file has those curves that it holds; and another try may have other names.
  const offered = isReport ? held : names;
  const shown = chosen?.filter((name) => offered.includes(name)) ?? held.slice(0, AT_FIRST);
  const marks = useMemo(() => (sections.checkpoints ?? []).map((one) => one.step).filter(isNumber), [sections.checkpoints]);
  if (!names.length) {
    return null;
  }
  return (
    <Panel
      title="Metrics"
      wide
      aside={<LookTools look={look} set={setLook} />}
    >
      {offered.length > 1 && <Choose names={offered} shown={shown} choose={choose} />}
      <div class="curves">
        {shown.map((name, at) => (
          <Metric key={name} name={name} at={at} look={look} marks={marks} />
        ))}
      </div>
      {!shown.length && <p class="quiet">Choose a metric above.</p>}
      {marks.length > 0 && (
        <p class="quiet note">
          <span class="diamond" aria-hidden="true" /> {plural(marks.length, "checkpoint")}, the last at step {number(marks[marks.length - 1])}
        </p>
      )}
      {metrics?.before && (
        <p class="quiet note">
          <span class="faint-line" aria-hidden="true" /> the attempt before, of try {metrics.before.try_number ?? "?"}
        </p>
      )}
      <LeftOut cut={metrics?.cut} names={{ series: "metric" }} />
      <Workers />
      <MetricTable />
    </Panel>
  );
}

function Workers() {
  const { count, starts, resumed_from: from } = usePage().sections.workers ?? {};
  if (!isNumber(count) && !from) {
    return null;
  }
  return (
    <p class="quiet note">
      {isNumber(count) && plural(count, "worker")}
      {isNumber(starts) && starts > 1 && `, started ${plural(starts, "time")}`}
      {from && (
        <>
          {isNumber(count) ? ", resumed from " : "Resumed from "}
          <Said text={from} most={70} class="mono" />
        </>
      )}
    </p>
  );
}

function Metric({ name, at, look, marks }: { name: string; at: number; look: Look; marks: number[] }) {
  const { sections } = usePage();
  const metrics = sections.metrics;
  const points = own(metrics?.series, name);
  const before = metrics?.before;
  const old = own(before?.series, name);
  const lines = useMemo(() => {
    const now: Line = { name, points, isStrong: true };
    return old ? [now, { name: `try ${before?.try_number ?? "before"}`, points: old, isFaint: true }] : [now];
  }, [name, points, old, before?.try_number]);
  const last = own(sections.values, name) ?? own(metrics?.last, name) ?? points?.y?.[points.y.length - 1];
  return (
    <figure class="curve">
      <figcaption>
        <Said text={named(name)} most={48} class="curve-name" />
        <b class="curve-last">{number(last)}</b>
      </figcaption>
      {points ? (
        <Curves
          title={name}
          lines={lines}
          isLog={look.isLog}
          smoothing={look.smoothing}
          xLabel={metrics?.x_label ?? "step"}
          marks={marks}
          group="metrics"
          tint={at}
        />
      ) : (
        <p class="quiet curve-empty">Reading…</p>
      )}
    </figure>
  );
}

function Choose({ names, shown, choose }: { names: string[]; shown: string[]; choose: (names: string[]) => void }) {
  const [find, setFind] = useState("");
  const found = names.filter((name) => clean(name).toLowerCase().includes(find.toLowerCase()));
  const isFull = shown.length >= MOST_SHOWN;
  const toggle = (name: string) => choose(shown.includes(name) ? shown.filter((one) => one !== name) : [...shown, name]);
  return (
    <div class="chips" role="group" aria-label="Metrics shown">
      {names.length > 12 && (
        <input type="search" placeholder="Find a metric" aria-label="Find a metric" value={find} onInput={(event) => setFind(event.currentTarget.value)} />
      )}
      {found.slice(0, 40).map((name) => (
        <button
          key={name}
          type="button"
          class="chip"
          aria-pressed={shown.includes(name)}
          disabled={isFull && !shown.includes(name)}
          onClick={() => toggle(name)}
        >
          <Said text={named(name)} most={40} />
        </button>
      ))}
      {found.length > 40 && <span class="quiet">and {found.length - 40} more</span>}
      <span class="quiet" role="status">
        {isFull && names.length > MOST_SHOWN && `${MOST_SHOWN} at once: take one away for another.`}
      </span>
    </div>
  );
}

/** The same as a table, for who cannot use the charts and for who wants the figures. */
function MetricTable() {
  const { sections, skew } = usePage();
  const { names = [], last, series } = sections.metrics ?? {};
  const rows = names.map((name) => {
    const values = (own(series, name)?.y ?? []).filter(isNumber);
    const lowest = values.length ? Math.min(...values) : null;
    const highest = values.length ? Math.max(...values) : null;
    return [<Said text={named(name)} />, number(own(last, name) ?? values[values.length - 1]), number(lowest), number(highest), values.length || "–"];
  });
  const checkpoints = (sections.checkpoints ?? []).slice(-20).reverse();
  return (
    <details class="as-table">
      <summary>As a table</summary>
      <SimpleTable label="Metrics" head={["Metric", "Last", "Lowest", "Highest", "Points"]} rows={rows} numeric={[1, 2, 3, 4]} />
      {checkpoints.length > 0 && (
        <SimpleTable
          label="Checkpoints"
          head={["Checkpoint", "Step", "When"]}
          numeric={[1]}
          rows={checkpoints.map((one) => [<Said text={one.uri} most={80} />, number(one.step), <Ago at={one.at} skew={skew} />])}
        />
      )}
    </details>
  );
}
