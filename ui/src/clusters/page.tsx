/** The Ray page of the navigation: clusters as last seen, recent jobs, what is stuck, and what a clean-up would take. */

import { useMemo, useState } from "preact/hooks";
import { isNumber, plural, span } from "../format";
import { Ago, Link, Notice, Panel, Pill, SimpleTable, When } from "../parts/basics";
import { DataTable, type Column } from "../parts/table";
import { Trouble } from "../parts/trouble";
import { tabOf, type Place } from "../place";
import { nowHere, usePolled, wholeAt, type Source } from "../polling";
import { columnsOf, taskName } from "../run/page";
import { AskOfCluster } from "../task/cluster_actions";
import { Skeleton } from "../task/page";
import { Said, clean } from "../text";
import type { ClustersView, JobRow, TaskKey } from "../types";
import { phase } from "../words";
import { ClusterCard } from "./card";

/** Nothing here changes by the second, and it reads many tasks. */
const EVERY_SECONDS = 10;

function sourceOf(place: Place): Source<ClustersView> {
  return { ...wholeAt<ClustersView>(`${place.base}api/clusters`), isLive: () => true, everySeconds: EVERY_SECONDS };
}

export function ClustersPage({ place }: { place: Place }) {
  const source = useMemo(() => sourceOf(place), [place]);
  const polled = usePolled(source);
  const view = polled.value;
  if (!view) {
    return polled.problem ? <Trouble polled={polled} /> : <Skeleton />;
  }
  const now = view.now ?? nowHere();
  const skew = now - (polled.heardAt ?? now);
  const clusters = view.clusters ?? [];
  return (
    <>
      <Trouble polled={polled} />
      <div class="sections">
        <Stuck place={place} stuck={view.stuck ?? []} now={now} />
        {clusters.length ? (
          <div class="cards">
            {clusters.map((cluster, at) => (
              <ClusterCard key={cluster.id ?? at} cluster={cluster} skew={skew}>
                {cluster.made_by && <MadeBy place={place} task={cluster.made_by} skew={skew} />}
                <Users place={place} users={cluster.used_by ?? []} />
                <AskOfCluster cluster={cluster} place={placeToAsk(place, cluster)} skew={skew} again={polled.again} />
              </ClusterCard>
            ))}
          </div>
        ) : (
          <p class="not-ours quiet wide">No Ray cluster is known to be there. Run a Ray task, and its cluster shows here until it is gone.</p>
        )}
        <Jobs place={place} jobs={view.jobs ?? []} now={now} />
        <CleanUp rows={view.cleanup ?? []} />
      </div>
    </>
  );
}

type Cluster = NonNullable<ClustersView["clusters"]>[number];

/** The task instance by which something is asked of a cluster: that one says whether this person may. */
function placeToAsk(place: Place, { asks, is_gone: isGone }: Cluster): Place | null {
  if (!asks || isGone) {
    return null;
  }
  const { dag_id: dagId = "", run_id: runId = "", task_id: taskId = "", map_index: mapIndex = -1 } = asks;
  return { ...place, dagId, runId, taskId, mapIndex };
}

function TaskLink({ place, task }: { place: Place; task: TaskKey }) {
  return (
    <Link href={tabOf(place, task)} inside>
      <Said text={`${task.dag_id}.${taskName(task)}`} most={56} />
    </Link>
  );
}

function Stuck({ place, stuck, now }: { place: Place; stuck: NonNullable<ClustersView["stuck"]>; now: number }) {
  if (!stuck.length) {
    return null;
  }
  return (
    <div class="wide">
      <Notice tone="wait" title={stuck.length === 1 ? "One task is stuck" : `${stuck.length} tasks are stuck`}>
        <ul class="plain-list">
          {stuck.slice(0, 20).map((one, at) => (
            <li key={at}>
              <TaskLink place={place} task={one} /> <Said text={one.what} most={80} />
              {isNumber(one.since) && ` for ${span(now - one.since)}`}
              {one.why && (
                <>
                  {": "}
                  <Said text={one.why} most={200} />
                </>
              )}
            </li>
          ))}
        </ul>
      </Notice>
    </div>
  );
}

function MadeBy({ place, task, skew }: { place: Place; task: NonNullable<Cluster["made_by"]>; skew: number }) {
  return (
    <p class="note">
      {task.created ? "Made by" : "Found by"} <TaskLink place={place} task={task} /> <Ago at={task.at} skew={skew} />
    </p>
  );
}

function Users({ place, users }: { place: Place; users: (TaskKey & { phase?: string })[] }) {
  if (!users.length) {
    return <p class="quiet note">No task uses it now.</p>;
  }
  return (
    <ul class="users">
      {users.slice(0, 12).map((one, at) => (
        <li key={at}>
          <TaskLink place={place} task={one} /> <Pill tone={phase(one.phase).tone}>{phase(one.phase).label}</Pill>
        </li>
      ))}
      {users.length > 12 && <li class="quiet">and {users.length - 12} more</li>}
    </ul>
  );
}

function Jobs({ place, jobs, now }: { place: Place; jobs: JobRow[]; now: number }) {
  const [dag, setDag] = useState("");
  const [state, setState] = useState("");
  const dags = useMemo(() => [...new Set(jobs.map((job) => job.dag_id ?? ""))].sort(), [jobs]);
  const states = useMemo(() => [...new Set(jobs.map((job) => job.phase ?? "none"))], [jobs]);
  const shown = useMemo(() => jobs.filter((job) => (!dag || job.dag_id === dag) && (!state || job.phase === state)), [jobs, dag, state]);
  const columns = useMemo<Column<JobRow>[]>(() => {
    const [task, ...others] = columnsOf(place, now);
    const dagColumn: Column<JobRow> = { id: "dag", title: "DAG", value: (job) => job.dag_id, cell: (job) => <Said text={job.dag_id} most={36} /> };
    const run: Column<JobRow> = { id: "run", title: "Run", value: (job) => job.run_id, cell: (job) => <Said text={job.run_id} most={36} /> };
    return [dagColumn, task as Column<JobRow>, ...(others.filter((column) => !["cpu", "gpu"].includes(column.id)) as Column<JobRow>[]), run];
  }, [place, now]);
  return (
    <Panel title="Recent jobs" wide>
      <DataTable
        label="Recent jobs"
        noun="job"
        rows={shown}
        columns={columns}
        rowKey={(job, at) => `${job.submission_id ?? at} ${job.dag_id} ${job.run_id} ${taskName(job)}`}
        tools={
          <>
            <Choice label="DAG" value={dag} set={setDag} options={dags.map((name) => [name, clean(name)])} />
            <Choice label="State" value={state} set={setState} options={states.map((name) => [name, phase(name).label])} />
          </>
        }
      />
    </Panel>
  );
}

function Choice(props: { label: string; value: string; set: (value: string) => void; options: [string, string][] }) {
  return (
    <label class="field">
      {props.label}
      <select value={props.value} onChange={(event) => props.set(event.currentTarget.value)}>
        <option value="">all</option>
        {props.options.map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
}

function CleanUp({ rows }: { rows: NonNullable<ClustersView["cleanup"]> }) {
  return (
    <Panel title="What a clean-up would take" wide aside={rows.length > 0 && <span class="quiet">{plural(rows.length, "thing")}</span>}>
      {rows.length ? (
        <SimpleTable
          label="What a clean-up would take"
          head={["What", "Name", "Why", "Expired"]}
          rows={rows.map((row) => [<Said text={row.kind} />, <Said text={row.name} most={60} class="mono" />, <Said text={row.why} most={200} />, <When at={row.expires_at} />])}
        />
      ) : (
        <p class="quiet">Nothing: all that is known is in use or not yet expired.</p>
      )}
    </Panel>
  );
}
