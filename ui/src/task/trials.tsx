/** A search: its trials as a table, their curves, and how parameters go with the metric. */

import { useCallback, useMemo, useState } from "preact/hooks";
import { isNumber, number, plural } from "../format";
import { LeftOut, Panel, Pill } from "../parts/basics";
import { Curves, type Line } from "../parts/curves";
import { ParallelCoordinates } from "../parts/parallel";
import { DataTable, type Column } from "../parts/table";
import { Said, clean } from "../text";
import type { TrialRow, TrialsSection } from "../types";
import { toneOf } from "../words";
import { LookTools, type Look } from "./training";
import { param, value } from "./trial";
import { usePage } from "./view";

const MOST_PICKED = 8;

export function Trials() {
  const { sections } = usePage();
  const trials = sections.trials;
  const rows = trials?.rows ?? [];
  const [picked, setPicked] = useState<string[]>([]);
  const [only, setOnly] = useState<string[] | null>(null);
  const toggle = useCallback(
    (trial: string) => setPicked((now) => (now.includes(trial) ? now.filter((one) => one !== trial) : [...now, trial].slice(-MOST_PICKED))),
    [],
  );
  if (!trials || (!rows.length && !trials.total)) {
    return null;
  }
  return (
    <>
      <Panel title="Search" wide aside={<Counts trials={trials} />}>
        <Best trials={trials} />
      </Panel>
      <TrialCurves trials={trials} picked={picked} />
      <Panel title="Parameters and what they gave" wide>
        <ParallelCoordinates trials={trials} onBrush={setOnly} />
      </Panel>
      <TrialTable trials={trials} picked={picked} toggle={toggle} only={only} />
    </>
  );
}

function Counts({ trials }: { trials: TrialsSection }) {
  const counts = Object.entries(trials.counts ?? {});
  return (
    <div class="tools">
      {counts.map(([status, count]) => (
        <Pill key={status} tone={toneOf(status)}>
          {number(count)} <Said text={status.toLowerCase()} most={24} />
        </Pill>
      ))}
      {isNumber(trials.total) && <span class="quiet">of {plural(trials.total, "trial")}</span>}
    </div>
  );
}

function Best({ trials }: { trials: TrialsSection }) {
  const best = (trials.rows ?? []).find((row) => row.trial === trials.best && row.trial !== undefined);
  if (!best) {
    return <p class="quiet">No trial has told a value yet.</p>;
  }
  return (
    <div class="best">
      <div class="best-value">
        <span class="quiet">
          {trials.mode === "max" ? "Highest" : "Lowest"} <Said text={trials.metric} most={40} />
        </span>
        <b>{number(value(best, trials.metric))}</b>
        <Said text={best.trial} most={40} class="quiet" />
      </div>
      <dl class="facts">
        {(trials.params ?? []).map((name) => {
          const given = param(best, name);
          return (
            <div key={name}>
              <dt>
                <Said text={name} most={40} />
              </dt>
              <dd>{isNumber(given) ? number(given) : <Said text={given} most={48} />}</dd>
            </div>
          );
        })}
      </dl>
    </div>
  );
}

function TrialCurves({ trials, picked }: { trials: TrialsSection; picked: string[] }) {
  const [look, setLook] = useState<Look>({ isLog: false, smoothing: 0 });
  const series = trials.series ?? {};
  const names = Object.keys(series);
  const lines = useMemo<Line[]>(() => {
    const strong = picked.filter((name) => Object.hasOwn(series, name));
    const best = trials.best !== undefined && Object.hasOwn(series, trials.best) ? [trials.best] : [];
    const front = [...new Set([...best, ...strong])];
    const back = names.filter((name) => !front.includes(name));
    return [
      ...front.map((name) => ({ name, points: series[name], isStrong: true })),
      ...back.map((name) => ({ name, points: series[name], isFaint: true })),
    ];
  }, [series, picked, trials.best]);
  if (!names.length) {
    return null;
  }
  const missing = picked.filter((name) => !Object.hasOwn(series, name)).length;
  return (
    <Panel title={`${clean(trials.metric)} by trial`} wide aside={<LookTools look={look} set={setLook} />}>
      <Curves title={`${clean(trials.metric)} by trial`} lines={lines} height={260} isLog={look.isLog} smoothing={look.smoothing} />
      <p class="quiet note">
        {plural(names.length, "curve")}; in front the best trial and those picked in the table below
        {missing > 0 && `; of ${plural(missing, "picked one")} no curve was kept`}.
      </p>
    </Panel>
  );
}

interface TableProps {
  trials: TrialsSection;
  picked: string[];
  toggle: (trial: string) => void;
  only: string[] | null;
}

function TrialTable({ trials, picked, toggle, only }: TableProps) {
  const [status, setStatus] = useState("");
  const rows = useMemo(() => {
    const wanted = only === null ? null : new Set(only);
    return (trials.rows ?? []).filter(
      (row) => (!status || row.status === status) && (wanted === null || wanted.has(row.trial ?? "")),
    );
  }, [trials.rows, status, only]);
  const columns = useMemo<Column<TrialRow>[]>(() => {
    const metrics = (trials.metrics ?? []).map((name): Column<TrialRow> => ({ id: `m ${name}`, title: name, numeric: true, value: (row) => value(row, name) }));
    const params = (trials.params ?? []).map((name): Column<TrialRow> => ({
      id: `p ${name}`,
      title: name,
      numeric: (trials.rows ?? []).every((row) => typeof (param(row, name) ?? 0) === "number"),
      value: (row) => param(row, name),
    }));
    return [
      { id: "trial", title: "Trial", value: (row) => row.trial, cell: (row) => <TrialName row={row} best={trials.best} isPicked={picked.includes(row.trial ?? "")} toggle={toggle} /> },
      { id: "status", title: "Status", value: (row) => row.status, cell: (row) => <Status row={row} /> },
      ...metrics,
      ...params,
      { id: "step", title: "Step", numeric: true, value: (row) => row.step },
    ];
  }, [trials, picked, toggle]);
  const statuses = Object.keys(trials.counts ?? {});
  const sorted = trials.metric ? { id: `m ${trials.metric}`, desc: trials.mode === "max" } : undefined;
  return (
    <Panel title="Trials" wide>
      <DataTable
        label="Trials"
        noun="trial"
        rows={rows}
        columns={columns}
        rowKey={(row, at) => `${at} ${row.trial}`}
        sortedBy={sorted}
        rowClass={(row) => (row.trial === trials.best ? "best-row" : undefined)}
        tools={
          <label class="field">
            Status
            <select value={status} onChange={(event) => setStatus(event.currentTarget.value)}>
              <option value="">all</option>
              {statuses.map((name) => (
                <option key={name} value={name}>
                  {clean(name).toLowerCase()}
                </option>
              ))}
            </select>
          </label>
        }
      />
      <LeftOut cut={trials.cut} names={{ trials: "trial", params: "parameter", metrics: "metric" }} />
      {only !== null && <p class="quiet note">Only trials within the ranges drawn on the axes above.</p>}
    </Panel>
  );
}

function TrialName(props: { row: TrialRow; best: string | undefined; isPicked: boolean; toggle: (trial: string) => void }) {
  const trial = props.row.trial ?? "";
  return (
    <label class="trial">
      <input
        type="checkbox"
        checked={props.isPicked}
        aria-label={`Show the curve of ${clean(trial)}`}
        onChange={() => props.toggle(trial)}
      />
      <Said text={trial} most={36} />
      {trial !== "" && trial === props.best && <span class="badge">best</span>}
    </label>
  );
}

function Status({ row }: { row: TrialRow }) {
  return (
    <Pill tone={toneOf(row.status)}>
      <span title={clean(row.error) || undefined}>
        <Said text={row.status?.toLowerCase()} most={24} />
      </span>
    </Pill>
  );
}
