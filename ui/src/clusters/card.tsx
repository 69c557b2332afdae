/** A cluster, as it was last seen. */

import type { ComponentChildren } from "preact";
import { isNumber } from "../format";
import { Ago, Facts, Link, Panel } from "../parts/basics";
import { Said, clean } from "../text";
import { Expires, Meters, Nodes } from "../task/surroundings";
import type { ClusterSection } from "../types";

export function ClusterCard(props: { cluster: ClusterSection; skew: number; children?: ComponentChildren }) {
  const { cluster, skew, children } = props;
  return (
    <Panel
      title={clean(cluster.name) || "Cluster"}
      aside={cluster.dashboard_url && <Link href={cluster.dashboard_url}>Ray dashboard</Link>}
    >
      <Facts
        rows={[
          ["Kind", cluster.backend && <Said text={cluster.backend} />],
          ["Connection", cluster.conn_id && <Said text={cluster.conn_id} most={40} class="mono" />],
          ["Namespace", cluster.namespace && <Said text={cluster.namespace} most={40} class="mono" />],
          ["Whose", typeof cluster.is_own === "boolean" && (cluster.is_own ? "ours" : "others may use it, too")],
          ["Expires", isNumber(cluster.expires_at) && <Expires at={cluster.expires_at} skew={skew} />],
          ["Seen", isNumber(cluster.seen_at) && <Ago at={cluster.seen_at} skew={skew} />],
        ]}
      />
      <Meters resources={cluster.resources} />
      {children}
      <Nodes nodes={cluster.nodes ?? []} total={cluster.nodes_total} />
    </Panel>
  );
}
