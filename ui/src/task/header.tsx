/** What the task is doing, since when, how far it is, and what went wrong. */

import { Ago, Facts, Notice, Pill, Progress, When } from "../parts/basics";
import { isNumber, number, percent, span } from "../format";
import { path } from "../place";
import { useNow } from "../polling";
import { Said, clean } from "../text";
import type { AttemptRow, Maybe, Segment, StateSection } from "../types";
import { hasEnded, phase, toneOf, workload } from "../words";
import { Actions } from "./actions";
import { usePage } from "./view";

export function Header({ choose }: { choose: (tryNumber: number | null) => void }) {
  const { sections, skew, isLive, isReport } = usePage();
  const { task, state, cluster } = sections;
  const { label, tone } = phase(state?.phase ?? "none");
  const now = useNow(isLive) + skew;
  const current = (sections.attempts ?? []).find((attempt) => attempt.is_current);
  return (
    <section class="panel wide head" aria-label="State">
      <div class="head-top">
        <div class="head-state" role="status">
          <Pill tone={tone}>{label}</Pill>
          <span class="head-kind">{workload(task?.workload)}</span>
          {task?.operator && <Said text={task.operator} class="quiet head-operator" />}
        </div>
        <div class="head-tools">
          <Tries choose={choose} />
          {!isReport && <ReportFile />}
          {!isReport && <Actions />}
        </div>
      </div>
      {waiting(state, now)}
      <Advance state={state} since={runBegan(sections.timeline) ?? current?.begun_at ?? task?.started_at} now={now} attempt={current} />
      {state?.message && !state.error && (
        <p class="head-message">
          <Said text={state.message} />
        </p>
      )}
      {(task?.notes ?? []).map((note, at) => (
        <p key={at} class="head-message quiet">
          <Said text={note} most={300} />
        </p>
      ))}
      {state?.error && (
        <Notice tone="bad" title={label === "Failed" ? "It failed" : "The last error"}>
          <pre class="error-text" tabIndex={0}>
            <Said text={state.error} />
          </pre>
        </Notice>
      )}
      <Facts
        rows={[
          ["Airflow", task?.state && <Pill tone={toneOf(task.state)}>{clean(task.state).replace(/_/g, " ")}</Pill>],
          ["Started", isNumber(task?.started_at) && <When at={task.started_at} />],
          [hasEnded(task?.state) ? "Took" : "Elapsed", took(task?.started_at, task?.ended_at, now)],
          ["Cluster", cluster?.name && <Said text={cluster.name} most={44} />],
          ["Attempt", isNumber(current?.number) && number(current?.number)],
          ["Last word", isLive && isNumber(state?.updated_at) && <Ago at={state.updated_at} skew={skew} />],
        ]}
      />
    </section>
  );
}

/** From when on what is done has been done. */
function runBegan(timeline: Maybe<Segment[]>): number | undefined {
  return (timeline ?? []).find((segment) => segment.name === "run" && isNumber(segment.from))?.from;
}

function took(from: Maybe<number>, to: Maybe<number>, now: number): string | null {
  return isNumber(from) ? span((isNumber(to) ? to : now) - from) : null;
}

function waiting(state: Maybe<StateSection>, now: number) {
  if (!state?.waiting_for) {
    return null;
  }
  return (
    <p class="head-message">
      Waits for <Said text={state.waiting_for} />
      {isNumber(state.waiting_since) && <span class="quiet"> for {span(now - state.waiting_since)}</span>}
    </p>
  );
}

function Advance(props: { state: Maybe<StateSection>; since: Maybe<number>; now: number; attempt: Maybe<AttemptRow> }) {
  const { state, since, now } = props;
  const { done, total } = state ?? {};
  if (!isNumber(done) || !isNumber(total) || total <= 0) {
    return null;
  }
  const isRunning = state?.phase === "running";
  const left = isRunning && isNumber(since) && done > 0 && done < total ? ((now - since) * (total - done)) / done : null;
  return (
    <div class="advance">
      <Progress done={done} total={total} label="Progress" tone={phase(state?.phase).tone} />
      <p class="advance-words">
        <b>{percent(done / total)}</b>
        <span class="quiet">
          {number(done)} of {number(total)}
        </span>
        {left !== null && <span class="advance-left">about {span(left)} left</span>}
      </p>
    </div>
  );
}

function Tries({ choose }: { choose: (tryNumber: number | null) => void }) {
  const { sections, tryNumber, isReport } = usePage();
  const task = sections.task;
  const tries = task?.tries ?? [];
  if (tries.length < 2 || isReport) {
    return null;
  }
  const last = Math.max(...tries);
  const picked = (event: Event) => {
    const chosen = Number((event.currentTarget as HTMLSelectElement).value);
    choose(chosen === last ? null : chosen);
  };
  return (
    <label class="field">
      Try
      <select value={String(tryNumber ?? last)} onChange={picked}>
        {[...tries].sort((one, other) => other - one).map((number) => (
          <option key={number} value={String(number)}>
            {number === last ? `${number} (last)` : number}
          </option>
        ))}
      </select>
    </label>
  );
}

/** What is shown here as one file; of the try that is shown. */
function ReportFile() {
  const { place, tryNumber } = usePage();
  const ofTry = tryNumber === null ? "" : `&try_number=${tryNumber}`;
  const at = `${place.base}report/${path(place.dagId, place.runId, place.taskId, place.mapIndex)}`;
  return (
    <a class="button" href={`${at}?download=1${ofTry}`} download title="One HTML file, to be kept or sent">
      Report
    </a>
  );
}
