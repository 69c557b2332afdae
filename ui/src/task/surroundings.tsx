/** What a task runs on, reads, writes and is recorded by; and what it gave. */

import { ClusterActions } from "./cluster_actions";
import { useMemo } from "preact/hooks";
import { bytes, isNumber, number, plural, span } from "../format";
import { useAppearance } from "../appearance";
import { Ago, Facts, Link, Notice, Panel, Pill, SimpleTable, When } from "../parts/basics";
import { Curves, type Line } from "../parts/curves";
import { Tree } from "../parts/json";
import { useNow } from "../polling";
import { Said, clean } from "../text";
import type { ClusterSection, DataSet, Json, Maybe, NodeRow, Tracker } from "../types";
import { toneOf } from "../words";
import { usePage } from "./view";
import { useClockAxis } from "./workloads";

export function amount(name: string, value: unknown): string {
  return /memory|bytes/i.test(name) ? bytes(value) : number(value);
}

export function Meters({ resources }: { resources: ClusterSection["resources"] }) {
  const rows = Object.entries(resources ?? {}).filter(([name, use]) => use && !/^(node:|accelerator_type:)/.test(name));
  return (
    <ul class="meters">
      {rows.map(([name, use]) => {
        const share = isNumber(use.total) && use.total > 0 && isNumber(use.used) ? Math.min(1, use.used / use.total) : 0;
        return (
          <li key={name}>
            <span class="meter-name">
              <Said text={name.replace(/_/g, " ")} most={28} />
            </span>
            <span class="meter" aria-hidden="true">
              <span class="meter-bar" style={{ width: `${share * 100}%` }} />
            </span>
            <span class="meter-value">
              {amount(name, use.used)} <span class="quiet">of {amount(name, use.total)}</span>
            </span>
          </li>
        );
      })}
    </ul>
  );
}

export function Nodes({ nodes, total }: { nodes: NodeRow[]; total?: number }) {
  if (!nodes.length) {
    return null;
  }
  return (
    <details class="as-table">
      <summary>{plural(isNumber(total) ? total : nodes.length, "node")}</summary>
      <SimpleTable
        label="Nodes"
        head={["Node", "State", "Resources"]}
        rows={nodes.map((node) => [
          <>
            <Said text={node.ip ?? node.id} most={40} />
            {node.is_head && <span class="quiet"> head</span>}
          </>,
          <Pill tone={toneOf(node.state)}>
            <Said text={node.state?.toLowerCase()} />
          </Pill>,
          <>
            {Object.entries(node.resources ?? {})
              .filter(([name]) => !/^(node:|accelerator_type:)/.test(name))
              .map(([name, value]) => `${clean(name).replace(/_/g, " ")} ${amount(name, value)}`)
              .join(", ")}
            {node.message && <Said text={node.message} most={120} class="quiet" />}
          </>,
        ])}
      />
    </details>
  );
}

export function Expires({ at, skew }: { at: number; skew: number }) {
  const { isStill } = useAppearance();
  const left = at - (useNow(!isStill) + skew);
  if (isStill) {
    return <When at={at} />;
  }
  return (
    <>
      <When at={at} /> <span class="quiet">{left > 0 ? `in ${span(left)}` : `${span(-left)} ago`}</span>
    </>
  );
}

export function Cluster() {
  const { sections, skew } = usePage();
  const cluster = sections.cluster;
  if (!cluster) {
    return null;
  }
  return (
    <Panel title="Cluster" aside={cluster.dashboard_url && <Link href={cluster.dashboard_url}>Ray dashboard</Link>}>
      <Facts
        rows={[
          ["Name", cluster.name && <Said text={cluster.name} most={60} />],
          ["Kind", cluster.backend && <Said text={cluster.backend} />],
          ["Connection", cluster.conn_id && <Said text={cluster.conn_id} most={40} class="mono" />],
          ["Namespace", cluster.namespace && <Said text={cluster.namespace} most={40} class="mono" />],
          ["Whose", typeof cluster.is_own === "boolean" && (cluster.is_own ? "started for this" : "others may use it, too")],
          ["Expires", isNumber(cluster.expires_at) && <Expires at={cluster.expires_at} skew={skew} />],
          ["Seen", isNumber(cluster.seen_at) && <Ago at={cluster.seen_at} skew={skew} />],
        ]}
      />
      <Meters resources={cluster.resources} />
      <Nodes nodes={cluster.nodes ?? []} total={cluster.nodes_total} />
      <ClusterActions cluster={cluster} />
    </Panel>
  );
}

export function Resources() {
  const { sections } = usePage();
  const resources = sections.resources;
  const formatX = useClockAxis();
  const groups = useMemo(() => {
    const series = resources?.series ?? {};
    const names = [...new Set(Object.keys(series).map((name) => name.replace(/ (used|total)$/, "")))];
    return names.slice(0, 4).map((name): { name: string; lines: Line[] } => {
      const of = (suffix: string) => (Object.hasOwn(series, `${name}${suffix}`) ? series[`${name}${suffix}`] : undefined);
      const line = (label: string, y: Maybe<number>[] | undefined, isFaint = false): Line[] =>
        y ? [{ name: label, points: { x: resources?.x, y }, isFaint, isStrong: !isFaint }] : [];
      return { name, lines: [...line(`${name} used`, of(" used")), ...line(name, of("")), ...line(`${name} total`, of(" total"), true)] };
    });
  }, [resources]);
  if (!groups.length || (resources?.x?.length ?? 0) < 2) {
    return null;
  }
  return (
    <Panel title="Use of the cluster">
      <div class="stack">
        {groups.map(({ name, lines }, at) => (
          <figure key={name} class="curve">
            <figcaption>
              <Said text={name} most={40} class="curve-name" />
            </figcaption>
            <Curves title={`${name} over time`} lines={lines} height={120} xLabel="at" formatX={formatX} fromZero group="resources" tint={at} />
          </figure>
        ))}
      </div>
    </Panel>
  );
}

export function Tracked() {
  const { sections } = usePage();
  const trackers = sections.tracker ?? [];
  if (!trackers.length) {
    return null;
  }
  return (
    <Panel title="Tracking">
      {trackers.map((tracker, at) => (
        <TrackedRun key={at} tracker={tracker} />
      ))}
    </Panel>
  );
}

const KINDS: Record<string, string> = { mlflow: "MLflow", wandb: "Weights & Biases" };

function TrackedRun({ tracker }: { tracker: Tracker }) {
  const { model, gate } = tracker;
  const kind = (Object.hasOwn(KINDS, tracker.kind ?? "") && KINDS[tracker.kind ?? ""]) || clean(tracker.kind);
  const run = <Said text={tracker.run_id} most={28} class="mono" />;
  const named = model && (
    <>
      <Said text={model.name} most={60} /> <span class="quiet">version</span> <Said text={model.version} most={20} />
    </>
  );
  return (
    <div class="tracked">
      <Facts
        rows={[
          [`${kind} run`, tracker.run_id && (tracker.url ? <Link href={tracker.url}>{run}</Link> : run)],
          ["Model", named && (model?.url ? <Link href={model.url}>{named}</Link> : named)],
        ]}
      />
      {gate && (
        <Notice tone={gate.passed ? "good" : "wait"} title={gate.passed ? "The gate let it pass" : "The gate held it back"}>
          <Said text={gate.why} most={400} />
        </Notice>
      )}
    </div>
  );
}

export function DataInOut() {
  const { sections } = usePage();
  const { inputs, outputs } = sections.data ?? {};
  const rows: [string, DataSet][] = [...(inputs ?? []).map((one): [string, DataSet] => ["in", one]), ...(outputs ?? []).map((one): [string, DataSet] => ["out", one])];
  if (!rows.length) {
    return null;
  }
  return (
    <Panel title="Data">
      <ul class="data">
        {rows.map(([way, one], at) => (
          <li key={at}>
            <div class="data-head">
              <span class={`way ${way}`}>{way}</span>
              <b>
                <Said text={one.name} most={40} />
              </b>
              {isNumber(one.rows) && <span class="quiet">{plural(one.rows, "row")}</span>}
            </div>
            <Said text={one.uri} class="mono quiet" />
            {(one.schema?.length ?? 0) > 0 && (
              <details class="as-table">
                <summary>{plural(one.schema?.length ?? 0, "column")}</summary>
                <ul class="schema">
                  {one.schema?.map((column, part) => (
                    <li key={part}>
                      <Said text={column.name} most={60} class="mono" /> <Said text={column.type} most={60} class="quiet" />
                    </li>
                  ))}
                </ul>
              </details>
            )}
          </li>
        ))}
      </ul>
    </Panel>
  );
}

export function Features() {
  const { sections } = usePage();
  const uses = sections.features ?? [];
  if (!uses.length) {
    return null;
  }
  return (
    <Panel title="Features">
      {uses.map((use, at) => (
        <div key={at} class="feature-use">
          <Facts
            rows={[
              ["Store", use.store && <Said text={use.store} most={40} />],
              ["Service", use.feature_service && <Said text={use.feature_service} most={60} />],
            ]}
          />
          <ul class="schema">
            {(use.features ?? []).map((name, part) => (
              <li key={part}>
                <Said text={name} most={80} class="mono" />
              </li>
            ))}
          </ul>
        </div>
      ))}
    </Panel>
  );
}

export function Links() {
  const { sections } = usePage();
  const links = (sections.links ?? []).filter((link) => link.url);
  if (!links.length) {
    return null;
  }
  return (
    <Panel title="Links">
      <ul class="links">
        {links.map((link, at) => (
          <li key={at}>
            <Link href={link.url}>
              <Said text={link.label ?? link.url} most={60} />
            </Link>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

export function Result() {
  const { sections } = usePage();
  const result = sections.result;
  if (result === undefined || result === null) {
    return null;
  }
  const cut = isCut(result);
  return (
    <Panel title="Result">
      {cut !== null && <p class="quiet">It is long: this is its beginning. The whole is in the task's XCom.</p>}
      <Tree value={cut ?? result} />
    </Panel>
  );
}

function isCut(result: Json): string | null {
  if (result === null || typeof result !== "object" || Array.isArray(result)) {
    return null;
  }
  return result.cut === true && typeof result.text === "string" ? result.text : null;
}
