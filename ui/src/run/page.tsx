/** The Ray page of a DAG run: all its Ray tasks on one timeline, their clusters, and what they cost in hours. */

import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { Facts, Link, Panel, Pill, When } from "../parts/basics";
import { ClusterCard } from "../clusters/card";
import { DataTable, type Column } from "../parts/table";
import { Timeline, type Lane } from "../parts/timeline";
import { Trouble } from "../parts/trouble";
import { isNumber, number, plural, span } from "../format";
import { path, tabOf, type Place } from "../place";
import { nowHere, useNow, usePolled, wholeAt, type Source } from "../polling";
import { Said } from "../text";
import { Skeleton } from "../task/page";
import type { ClusterSection, Maybe, RunTask, RunView } from "../types";
import { hasEnded, phase, toneOf, workload } from "../words";

/** It reads many tasks. */
const EVERY_SECONDS = 5;

function sourceOf(place: Place): Source<RunView> {
  return {
    ...wholeAt<RunView>(`${place.base}api/run/${path(place.dagId, place.runId)}`),
    isLive: (view) => isUnread(view) || !hasEnded(view.state) || (view.tasks ?? []).some((task) => isNumber(task.started_at) && !hasEnded(task.state)),
    everySeconds: EVERY_SECONDS,
  };
}

/** Whether histories are still to come, with more hours. */
function isUnread(view: RunView): boolean {
  return (view.unread ?? 0) > 0;
}

export function taskName(task: RunTask): string {
  return (task.map_index ?? -1) >= 0 ? `${task.task_id} [${task.map_index}]` : (task.task_id ?? "");
}

/** Where its segments are not known, Airflow's times stand for them. */
function lanesOf(tasks: RunTask[]): Lane[] {
  return tasks
    .filter((task) => isNumber(task.started_at) || task.timeline?.length)
    .map((task) => ({
      label: taskName(task),
      segments: task.timeline?.length ? task.timeline : [{ name: "run", from: task.started_at, to: task.ended_at }],
    }));
}

export function RunPage({ place }: { place: Place }) {
  const source = useMemo(() => sourceOf(place), [place]);
  const polled = usePolled(source);
  const view = polled.value;
  const skew = view ? (view.now ?? nowHere()) - (polled.heardAt ?? nowHere()) : 0;
  const now = useNow(polled.isLive) + skew;
  const tasks = view?.tasks ?? [];
  const lanes = useMemo(() => lanesOf(view?.tasks ?? []), [view?.tasks]);
  if (!view) {
    return polled.problem ? <Trouble polled={polled} /> : <Skeleton />;
  }
  if (!tasks.length) {
    return (
      <>
        <Trouble polled={polled} />
        <p class="not-ours quiet">No task of this run uses Ray.</p>
        <NotShown view={view} />
      </>
    );
  }
  const begun = isNumber(view.started_at) ? view.started_at : null;
  const elapsed = begun === null ? null : (isNumber(view.ended_at) ? view.ended_at : now) - begun;
  const counts = countsOf(tasks);
  const hasShared = (view.clusters ?? []).some((cluster) => isShared(cluster) && isNumber(cluster.cpu_hours));
  return (
    <>
      <Trouble polled={polled} />
      <div class="sections">
        <section class="panel wide head" aria-label="State">
          <div class="head-top">
            <div class="head-state" role="status">
              <Pill tone={toneOf(view.state)}>
                <Said text={view.state} />
              </Pill>
              <span class="head-kind">{plural(tasks.length, "Ray task")}</span>
            </div>
            <div class="tools">
              {counts.map(([name, count]) => (
                <Pill key={name} tone={phase(name).tone}>
                  {number(count)} {phase(name).label.toLowerCase()}
                </Pill>
              ))}
            </div>
          </div>
          <Facts
            rows={[
              ["Started", begun !== null && <When at={begun} />],
              [isNumber(view.ended_at) ? "Took" : "Elapsed", elapsed !== null && span(elapsed)],
              ["CPU-hours", hours(view, view.cpu_hours, hasShared && "of shared clusters while this run used them")],
              ["GPU-hours", hours(view, view.gpu_hours, hasShared && "of shared clusters while this run used them")],
            ]}
          />
        </section>
        <Panel title="Where the time went" wide>
          <Timeline lanes={lanes} now={view.now ?? now} hasLabels />
        </Panel>
        <Tasks place={place} tasks={tasks} now={view.now ?? now} />
        <NotShown view={view} />
        <div class="cards">
          {(view.clusters ?? []).map((cluster, at) => (
            <ClusterCard key={cluster.id ?? at} cluster={cluster} skew={skew}>
              <Facts
                rows={[
                  ["Tasks", cluster.tasks?.length && <Said text={cluster.tasks.join(", ")} most={160} />],
                  ["CPU-hours", hours(view, cluster.cpu_hours, isShared(cluster) && "of the cluster while this run used it")],
                  ["GPU-hours", hours(view, cluster.gpu_hours, isShared(cluster) && "of the cluster while this run used it")],
                ]}
              />
            </ClusterCard>
          ))}
        </div>
      </div>
    </>
  );
}

function NotShown({ view }: { view: RunView }) {
  return isNumber(view.cut) && view.cut > 0 ? <p class="quiet wide">{plural(view.cut, "Ray task")} more are not shown.</p> : null;
}

function isShared(cluster: ClusterSection): boolean {
  return cluster.is_own === false;
}

/** `whose`: what they are of, where that is not plain. */
function hours(view: RunView, known: Maybe<number>, whose: string | false): ComponentChildren {
  return (
    isNumber(known) && (
      <>
        {isUnread(view) && "at least "}
        {number(known)}
        {whose && known > 0 && <span class="quiet"> {whose}</span>}
      </>
    )
  );
}

function countsOf(tasks: RunTask[]): [string, number][] {
  const counts = new Map<string, number>();
  tasks.forEach((task) => counts.set(task.phase ?? "none", (counts.get(task.phase ?? "none") ?? 0) + 1));
  return [...counts];
}

function Tasks({ place, tasks, now }: { place: Place; tasks: RunTask[]; now: number }) {
  const columns = useMemo(() => columnsOf(place, now), [place, now]);
  return (
    <Panel title="Tasks" wide>
      <DataTable label="Ray tasks" noun="task" rows={tasks} columns={columns} rowKey={(task) => taskName(task)} />
    </Panel>
  );
}

export function took(task: RunTask, now: number): number | null {
  return isNumber(task.started_at) ? (isNumber(task.ended_at) ? task.ended_at : now) - task.started_at : null;
}

export function columnsOf(place: Place, now: number): Column<RunTask>[] {
  return [
    {
      id: "task",
      title: "Task",
      value: taskName,
      cell: (task) => (
        <Link href={tabOf(place, task)} inside>
          <Said text={taskName(task)} most={44} />
        </Link>
      ),
    },
    { id: "kind", title: "Kind", value: (task) => workload(task.workload) },
    {
      id: "state",
      title: "State",
      value: (task) => phase(task.phase).label,
      cell: (task) => <Pill tone={phase(task.phase).tone}>{phase(task.phase).label}</Pill>,
    },
    { id: "began", title: "Began", value: (task) => task.started_at, cell: (task) => <When at={task.started_at} /> },
    { id: "took", title: "Took", numeric: true, value: (task) => took(task, now), cell: (task) => span(took(task, now)) },
    { id: "cluster", title: "Cluster", value: (task) => task.cluster, cell: (task) => <Said text={task.cluster} most={32} /> },
    { id: "cpu", title: "CPU-hours", numeric: true, value: (task) => task.cpu_hours },
    { id: "gpu", title: "GPU-hours", numeric: true, value: (task) => task.gpu_hours },
    {
      id: "message",
      title: "Message",
      value: (task) => task.error || task.message,
      cell: (task) => <Said text={task.error || task.message} most={70} class={task.error ? "bad-text" : undefined} />,
    },
  ];
}
