/** What batch inference, serving and plain jobs tell of themselves. */

import { useCallback, useMemo } from "preact/hooks";
import { isNumber, number, perSecond, percent, span, time } from "../format";
import { useAppearance } from "../appearance";
import { Code, Link, Panel, Pill, Progress, SimpleTable, When, safeUrl } from "../parts/basics";
import { Curves } from "../parts/curves";
import { Said, clean } from "../text";
import type { Application, Deployment, Maybe, Points } from "../types";
import { toneOf } from "../words";
import { usePage } from "./view";

export function useClockAxis(): (at: number) => string {
  const { zone } = useAppearance();
  return useCallback((at: number) => time(at, zone, true), [zone]);
}

export function Batch() {
  const { sections } = usePage();
  const batch = sections.batch;
  const formatX = useClockAxis();
  const soFar = useMemo(() => [{ name: "rows so far", points: batch?.series, isStrong: true }], [batch?.series]);
  const rate = useMemo(() => [{ name: "rows per second", points: rateOf(batch?.series), isStrong: true }], [batch?.series]);
  if (!batch) {
    return null;
  }
  const { rows, total_rows: total, blocks, total_blocks: totalBlocks } = batch;
  return (
    <Panel title="Rows" wide>
      <div class="figures">
        <Figure name="Rows" value={number(rows)} hint={isNumber(total) && total > 0 ? `of ${number(total)}` : undefined} />
        <Figure name="Rate" value={perSecond(batch.rows_per_second)} />
        <Figure name="Blocks" value={number(blocks)} hint={isNumber(totalBlocks) ? `of ${number(totalBlocks)}` : undefined} />
        <Figure name="Time left" value={isNumber(batch.seconds_left) ? span(batch.seconds_left) : "–"} />
      </div>
      {!isNumber(sections.state?.total) && isNumber(rows) && isNumber(total) && total > 0 && (
        <div class="advance">
          <Progress done={rows} total={total} label={`Rows: ${percent(rows / total)}`} />
        </div>
      )}
      {(batch.series?.x?.length ?? 0) > 1 && (
        <div class="curves two spaced">
          <figure class="curve">
            <figcaption>
              <span class="curve-name">Rows per second</span>
            </figcaption>
            <Curves title="Rows per second" lines={rate} xLabel="at" formatX={formatX} fromZero height={180} group="batch" />
          </figure>
          <figure class="curve">
            <figcaption>
              <span class="curve-name">Rows so far</span>
            </figcaption>
            <Curves title="Rows so far" lines={soFar} xLabel="at" formatX={formatX} fromZero height={180} group="batch" tint={2} />
          </figure>
        </div>
      )}
    </Panel>
  );
}

/** How fast the rows came, from point to point; a long curve has some close together, which alone would tell of a moment. */
function rateOf(points: Maybe<Points>): Points {
  const [xs, ys] = [points?.x ?? [], points?.y ?? []];
  const rates: Points = { x: [], y: [] };
  const [first, last] = [xs[0], xs[xs.length - 1]];
  const least = isNumber(first) && isNumber(last) ? (last - first) / (2 * xs.length) : 0;
  let from = 0;
  for (let at = 1; at < xs.length; at += 1) {
    const [x0, x1, y0, y1] = [xs[from], xs[at], ys[from], ys[at]];
    const isKnown = isNumber(x0) && isNumber(x1) && isNumber(y0) && isNumber(y1) && x1 > x0;
    if (isKnown && x1 - x0 < least) {
      continue;
    }
    if (isKnown) {
      rates.x?.push(x1);
      // Fewer than before: it began anew.
      rates.y?.push(Math.max(0, (y1 - y0) / (x1 - x0)));
    }
    from = at;
  }
  return rates;
}

export function Figure({ name, value, hint }: { name: string; value: string; hint?: string }) {
  return (
    <div class="figure">
      <span class="quiet">{name}</span>
      <b>{value}</b>
      {hint && <span class="quiet">{hint}</span>}
    </div>
  );
}

export function Serving() {
  const { sections } = usePage();
  const serve = sections.serve;
  if (!serve) {
    return null;
  }
  const applications = serve.applications ?? [];
  const version = serve.version && (
    <span class="quiet">
      serves version <Said text={serve.version} most={24} class="mono" />
    </span>
  );
  return (
      <Panel title="Applications" wide aside={version}>
        {applications.map((one, at) => (
          <ServedApplication key={`${at} ${one.name}`} application={one} />
        ))}
        {!applications.length && <p class="quiet">No application is known yet.</p>}
      </Panel>
  );
}

export function RollOut() {
  const steps = usePage().sections.serve?.steps ?? [];
  if (!steps.length) {
    return null;
  }
  return (
    <Panel title="Roll-out">
      <ol class="steps">
        {steps.map((step, at) => (
          <li key={at} class={`step ${toneOf(step.state)}`}>
            <span class="step-dot" aria-hidden="true" />
            <span class="step-name">
              <Said text={step.name} />
              {step.message && <Said text={step.message} most={160} class="quiet step-message" />}
            </span>
            <Said text={step.state} class="quiet" />
            <span class="step-time">
              <When at={step.at} short />
            </span>
          </li>
        ))}
      </ol>
    </Panel>
  );
}

/** For a POSIX shell: within single quotes nothing is special but the quote itself. */
function quoted(text: string): string {
  return `'${text.replace(/'/g, `'\\''`)}'`;
}

function ServedApplication({ application }: { application: Application }) {
  const { deployments = [], url } = application;
  return (
    <section class="application">
      <div class="application-head">
        <h3>
          <Said text={application.name} most={60} />
        </h3>
        <Pill tone={application.status === "RUNNING" ? "good" : toneOf(application.status)}>
          <Said text={application.status?.toLowerCase()} />
        </Pill>
        {application.route_prefix && <Said text={application.route_prefix} class="mono quiet" />}
        {url && (
          <Link href={url}>
            <Said text={url} most={70} />
          </Link>
        )}
      </div>
      {application.message && (
        <p class="note quiet">
          <Said text={application.message} most={400} />
        </p>
      )}
      {deployments.length > 0 && (
        <SimpleTable
          label={`Deployments of ${clean(application.name)}`}
          head={["Deployment", "State", "Replicas"]}
          rows={deployments.map((one) => [<Said text={one.name} />, <DeploymentState deployment={one} />, <Replicas deployment={one} />])}
        />
      )}
      {safeUrl(url) !== null && <Code text={`curl -sS ${quoted(clean(url))}`} />}
    </section>
  );
}

function DeploymentState({ deployment }: { deployment: Deployment }) {
  return (
    <Pill tone={toneOf(deployment.status)}>
      <Said text={deployment.status?.toLowerCase().replace(/_/g, " ")} />
    </Pill>
  );
}

function Replicas({ deployment: { replicas, target } }: { deployment: Deployment }) {
  const wanted = isNumber(target) ? target : 0;
  const there = isNumber(replicas) ? replicas : 0;
  const boxes = Math.min(24, Math.max(wanted, there));
  return (
    <span class="replicas">
      <span class="replica-boxes" aria-hidden="true">
        {Array.from({ length: boxes }, (_, at) => (
          <span key={at} class={`replica ${at < there ? "on" : ""}`} />
        ))}
      </span>
      {number(replicas)}
      {isNumber(target) && <span class="quiet"> of {number(target)}</span>}
    </span>
  );
}

const TASK_ORDER = ["FINISHED", "RUNNING"];

export function Functions() {
  const { sections } = usePage();
  const functions = Object.entries(sections.tasks ?? {}).filter(([, states]) => states && typeof states === "object");
  if (!functions.length) {
    return null;
  }
  const states = [...new Set(functions.flatMap(([, counts]) => Object.keys(counts)))].sort((one, other) => rank(one) - rank(other) || one.localeCompare(other));
  return (
    <Panel title="Ray tasks by function" wide>
      <SimpleTable
        label="Ray tasks by function and state"
        head={["Function", "Shares", ...states.map((state) => clean(state).toLowerCase().replace(/_/g, " ")), "All"]}
        numeric={states.concat("All").map((_, at) => at + 2)}
        rows={functions.map(([name, counts]) => [
          <Said text={name} most={60} class="mono" />,
          <Shares counts={counts} />,
          ...states.map((state) => count(Object.hasOwn(counts, state) ? counts[state] : null)),
          number(sum(counts)),
        ])}
      />
    </Panel>
  );
}

function rank(state: string): number {
  const at = TASK_ORDER.indexOf(state);
  return at >= 0 ? at : toneOf(state) === "bad" ? 9 : 5;
}

function count(value: Maybe<number>) {
  return isNumber(value) && value !== 0 ? number(value) : <span class="quiet">–</span>;
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts)
    .filter(isNumber)
    .reduce((total, one) => total + one, 0);
}

function Shares({ counts }: { counts: Record<string, number> }) {
  const all = sum(counts);
  const parts = Object.entries(counts).filter(([, one]) => isNumber(one) && one > 0).sort(([one], [other]) => rank(one) - rank(other));
  return (
    <span class="shares" aria-hidden="true">
      {parts.map(([state, one]) => (
        <span key={state} class={`share ${toneOf(state)}`} style={{ width: `${(one / all) * 100}%` }} />
      ))}
    </span>
  );
}
