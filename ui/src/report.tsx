/** A file of its own: what a task's tab showed, without any request. */

import { useMemo, useState } from "preact/hooks";
import { Notice, When } from "./parts/basics";
import { isNumber, NOTHING } from "./format";
import type { Place } from "./place";
import { Said } from "./text";
import { Body } from "./task/body";
import { PageContext, type Page } from "./task/view";
import type { ReportView } from "./types";

function held(): ReportView | null {
  try {
    return JSON.parse(document.getElementById("air-data")?.textContent ?? "null") as ReportView | null;
  } catch {
    return null;
  }
}

const nothing = () => undefined;

export function ReportPage({ place }: { place: Place }) {
  const view = useMemo(held, []);
  const [metrics, setMetrics] = useState<string[] | null>(null);
  const page = useMemo<Page | null>(() => {
    if (!view) {
      return null;
    }
    const sections = view.sections ?? {};
    const task = sections.task ?? {};
    const now = [view.made_at, view.now, sections.state?.updated_at, task.ended_at].find(isNumber) ?? 0;
    const of = { ...place, dagId: task.dag_id ?? "", runId: task.run_id ?? "", taskId: task.task_id ?? "" };
    return { place: of, sections, now, skew: now - Date.now() / 1000, isLive: false, isReport: true, tryNumber: null, again: nothing };
  }, [view]);
  if (!page || !view) {
    return <Notice tone="bad" title="This file holds no report that can be read." />;
  }
  const { task } = page.sections;
  const map = isNumber(task?.map_index) && task.map_index >= 0 ? ` [${task.map_index}]` : "";
  return (
    <PageContext.Provider value={page}>
      <header class="report-head">
        <h1>
          <Said text={`${task?.task_id ?? ""}${map}`} />
        </h1>
        <p class="quiet">
          <Said text={task?.dag_id} /> · <Said text={task?.run_id} /> · as of {page.now ? <When at={page.now} /> : NOTHING}
        </p>
      </header>
      <Body metrics={metrics} setMetrics={setMetrics} setTry={nothing} />
      {view.environment && (
        <footer class="report-foot quiet">
          {Object.entries(view.environment).map(([name, value]) => (
            <span key={name}>
              <Said text={name} most={60} /> <Said text={typeof value === "object" ? JSON.stringify(value) : value} most={80} />
            </span>
          ))}
        </footer>
      )}
    </PageContext.Provider>
  );
}
