/** One bundle for all pages: `<div id="air" data-page="…">` says which. */

import { render, type JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { clean } from "./text";
import { AppearanceContext, apply, follow } from "./appearance";
import { ClustersPage } from "./clusters/page";
import { placeOf, type PageName, type Place } from "./place";
import { ReportPage } from "./report";
import { RunPage } from "./run/page";
import { TaskPage } from "./task/page";

const PAGES: Record<PageName, (props: { place: Place }) => JSX.Element> = {
  task: TaskPage,
  run: RunPage,
  clusters: ClustersPage,
  report: ReportPage,
};

const HEADINGS: Record<PageName, (place: Place) => string | null> = {
  task: (place) => `Ray: task ${clean(place.taskId)} of ${clean(place.dagId)}`,
  run: (place) => `Ray: tasks of a run of ${clean(place.dagId)}`,
  clusters: () => "Ray: clusters and jobs",
  report: () => null,
};

function App({ root }: { root: HTMLElement }) {
  const place = useMemo(() => placeOf(root, window.location), [root]);
  const alone = place.page === "report";
  const [appearance, set] = useState(() => apply(alone));
  useEffect(() => {
    const changed = () => {
      const next = apply(alone);
      set((now) => (now.mode === next.mode && now.zone === next.zone ? now : next));
    };
    return follow(alone, changed);
  }, [alone]);
  const Page = PAGES[place.page];
  const heading = HEADINGS[place.page](place);
  return (
    <AppearanceContext.Provider value={appearance}>
      <main class={`page page-${place.page}`}>
        {heading && <h1 class="off-screen">{heading}</h1>}
        <Page place={place} />
      </main>
    </AppearanceContext.Provider>
  );
}

const root = document.getElementById("air");
if (root) {
  render(<App root={root} />, root);
}
