/** One bundle for all pages: `<div id="air" data-page="…">` says which. */

import { render } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { AppearanceContext, apply, follow } from "./appearance";
import { placeOf } from "./place";
import { TaskPage } from "./task/page";

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
  return (
    <AppearanceContext.Provider value={appearance}>
      <main class={`page page-${place.page}`}>{<TaskPage place={place} />}</main>
    </AppearanceContext.Provider>
  );
}

const root = document.getElementById("air");
if (root) {
  render(<App root={root} />, root);
}
