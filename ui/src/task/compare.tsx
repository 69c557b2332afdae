/** This task in earlier runs: a metric over the runs, and its curves over one another. */

import { useMemo, useState } from "preact/hooks";
import { isNumber, number, own, span, time } from "../format";
import { useAppearance } from "../appearance";
import { Link, Pill, When } from "../parts/basics";
import { Curves, type Line } from "../parts/curves";
import { DataTable, type Column } from "../parts/table";
import { Trouble } from "../parts/trouble";
import { path, tabOf, type Place } from "../place";
import { usePolled, type Source } from "../polling";
import { Said, clean } from "../text";
import type { CompareRun, CompareView } from "../types";
import { hasEnded, toneOf } from "../words";
import { LookTools, type Look } from "./training";
import { usePage } from "./view";

const MOST = 8;
/** As often as the curves of a task that lives are written. */
const EVERY_SECONDS = 10;

function sourceOf(place: Place, metric: string | null, runs: string[] | null, isLive: boolean): Source<CompareView> {
  const query = new URLSearchParams({ this: place.runId });
  if (metric !== null) {
    query.set("metric", metric);
  }
  runs?.forEach((run) => query.append("run", run));
  const url = `${place.base}api/compare/${path(place.dagId, place.taskId, place.mapIndex)}?${query}`;
  const lives = (view: CompareView) => (view.runs ?? []).some((run) => run.run_id === place.runId && !hasEnded(run.state));
  return {
    // A task that is cleared lives again.
    key: `${url} ${isLive}`,
    url: () => url,
    merge: (_known, answer) => (answer ?? {}) as CompareView,
    isLive: (view) => (view.unread ?? 0) > 0 || lives(view),
    everySeconds: EVERY_SECONDS,
  };
}

export function Compare() {
  const { place, isLive } = usePage();
  const [metric, setMetric] = useState<string | null>(null);
  const [picked, setPicked] = useState<string[] | null>(null);
  const source = useMemo(() => sourceOf(place, metric, picked, isLive), [place, metric, picked, isLive]);
  const polled = usePolled(source);
  const view = polled.value;
  if (!view) {
    return polled.problem ? <Trouble polled={polled} /> : <div class="skeleton tall" role="status" aria-label="Loading" />;
  }
  const runs = view.runs ?? [];
  const metrics = view.metrics ?? [];
  const shown = metric ?? metrics[0] ?? null;
  const curves = picked ?? runs.filter((run) => run.series && Object.keys(run.series).length).map((run) => run.run_id ?? "");
  const toggle = (run: string) => setPicked((curves.includes(run) ? curves.filter((one) => one !== run) : [...curves, run]).slice(-MOST));
  return (
    <>
      <Trouble polled={polled} />
      {metrics.length > 0 && (
        <label class="field spaced-below">
          Metric
          <select value={shown ?? ""} onChange={(event) => setMetric(event.currentTarget.value)}>
            {metrics.map((name) => (
              <option key={name} value={name}>
                {clean(name)}
              </option>
            ))}
          </select>
        </label>
      )}
      {shown !== null && <Overlay runs={runs} metric={shown} picked={curves} />}
      <RunTable runs={runs} metrics={metrics} picked={curves} toggle={toggle} />
    </>
  );
}

function Overlay({ runs, metric, picked }: { runs: CompareRun[]; metric: string; picked: string[] }) {
  const { place } = usePage();
  const { zone } = useAppearance();
  const [look, setLook] = useState<Look>({ isLog: false, smoothing: 0 });
  const curves = useMemo(
    () =>
      runs
        .filter((run) => picked.includes(run.run_id ?? "") && own(run.series, metric))
        .map((run): Line => ({
          name: `${time(run.started_at, zone)}${run.run_id === place.runId ? " (this run)" : ""}`,
          points: own(run.series, metric),
          isStrong: run.run_id === place.runId,
        })),
    [runs, picked, metric, zone],
  );
  const trend = useMemo((): Line[] => {
    const known = runs.filter((run) => isNumber(run.started_at) && isNumber(own(run.values, metric))).reverse();
    return [{ name: metric, points: { x: known.map((run) => run.started_at), y: known.map((run) => own(run.values, metric)) }, isStrong: true }];
  }, [runs, metric]);
  const day = useMemo(() => (at: number) => time(at, zone).slice(0, 16), [zone]);
  const tick = useMemo(() => (at: number) => time(at, zone).slice(5, 10), [zone]);
  return (
    <div class="curves two">
      <figure class="curve">
        <figcaption>
          <span class="curve-name">
            <Said text={metric} most={40} /> by run
          </span>
        </figcaption>
        <Curves title={`${metric} by run`} lines={trend} height={220} xLabel="run of" formatX={day} formatTick={tick} hasDots />
      </figure>
      {curves.length > 0 && (
        <figure class="curve">
          <figcaption>
            <span class="curve-name">
              <Said text={metric} most={40} /> over one another
            </span>
          </figcaption>
          <Curves title={`${metric} of ${curves.length} runs`} lines={curves} height={220} isLog={look.isLog} smoothing={look.smoothing} />
          <LookTools look={look} set={setLook} />
        </figure>
      )}
    </div>
  );
}

function RunTable(props: { runs: CompareRun[]; metrics: string[]; picked: string[]; toggle: (run: string) => void }) {
  const { place } = usePage();
  const { runs, metrics, picked, toggle } = props;
  const columns = useMemo<Column<CompareRun>[]>(
    () => [
      {
        id: "run",
        title: "Run",
        value: (run) => run.run_id,
        cell: (run) => (
          <span class="trial">
            <input type="checkbox" checked={picked.includes(run.run_id ?? "")} aria-label={`Show the curve of ${clean(run.run_id)}`} onChange={() => toggle(run.run_id ?? "")} />
            <Link href={tabOf(place, { run_id: run.run_id, task_id: place.taskId, map_index: place.mapIndex })} inside>
              <Said text={run.run_id} most={44} />
            </Link>
            {run.run_id === place.runId && <span class="badge">this run</span>}
          </span>
        ),
      },
      { id: "state", title: "State", value: (run) => run.state, cell: (run) => <Pill tone={toneOf(run.state)}><Said text={run.state} most={20} /></Pill> },
      { id: "began", title: "Began", value: (run) => run.started_at, cell: (run) => <When at={run.started_at} /> },
      { id: "took", title: "Took", numeric: true, value: (run) => took(run), cell: (run) => span(took(run)) },
      ...metrics.slice(0, 12).map((name): Column<CompareRun> => ({ id: `m ${name}`, title: name, numeric: true, value: (run) => own(run.values, name) ?? null, cell: (run) => number(own(run.values, name)) })),
    ],
    [runs, metrics, picked],
  );
  return <DataTable label="Runs" noun="run" rows={runs} columns={columns} rowKey={(run, at) => `${at} ${run.run_id}`} />;
}

function took(run: CompareRun): number | null {
  return isNumber(run.started_at) && isNumber(run.ended_at) ? run.ended_at - run.started_at : null;
}
