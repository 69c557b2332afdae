/** The Ray tab of a task instance. */

import { useMemo, useState } from "preact/hooks";
import { Notice } from "../parts/basics";
import { Trouble } from "../parts/trouble";
import type { Place } from "../place";
import { nowHere, usePolled } from "../polling";
import type { TaskView } from "../types";
import { Body } from "./body";
import { PageContext, lives, sourceOf, type Page } from "./view";

export function TaskPage({ place }: { place: Place }) {
  const [tryNumber, setTry] = useState<number | null>(null);
  const [metrics, setMetrics] = useState<string[] | null>(null);
  const source = useMemo(() => sourceOf(place, { tryNumber, metrics: metrics ?? [] }), [place, tryNumber, metrics]);
  const polled = usePolled<TaskView>(source);
  const view = polled.value;
  const page = useMemo<Page | null>(() => {
    if (!view) {
      return null;
    }
    const now = view.now ?? nowHere();
    const skew = now - (polled.heardAt ?? now);
    const sections = view.sections ?? {};
    const isLive = polled.isLive && lives(view, tryNumber);
    return { place, sections, now, skew, isLive, isReport: false, tryNumber, again: polled.again };
  }, [view, polled.isLive, tryNumber]);
  if (!page) {
    return polled.problem ? <Trouble polled={polled} /> : <Skeleton />;
  }
  if (page.sections.task?.is_ours === false) {
    return (
      <p class="not-ours quiet">
        {page.isLive
          ? "This task does not run on Ray so far, so there is nothing to see here yet."
          : "This task does not run on Ray, so there is nothing to see here."}
      </p>
    );
  }
  return (
    <PageContext.Provider value={page}>
      <Trouble polled={polled} />
      {tryNumber !== null && <Notice tone="quiet" title={`This is try ${tryNumber}, as it was.`} />}
      <Body metrics={metrics} setMetrics={setMetrics} setTry={setTry} />
    </PageContext.Provider>
  );
}

/** As high as what comes, so that nothing jumps. */
export function Skeleton() {
  return (
    <div class="sections" role="status" aria-label="Loading">
      <div class="panel wide skeleton head" />
      <div class="panel wide skeleton" />
      <div class="panel wide skeleton tall" />
    </div>
  );
}
