/** The state of a task's page: what was read, and what of it. */

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Place } from "../place";
import { path } from "../place";
import type { Source } from "../polling";
import type { Sections, TaskView } from "../types";
import { hasEnded } from "../words";

const SELDOM_SECONDS = 15;
/** Within a minute who waits on a cluster does what was asked of it; the next clean-up answers to no page. */
const MOST_ANSWER_SECONDS = 120;
const ANSWER_EVERY_SECONDS = 5;

export interface Asked {
  tryNumber: number | null;
  metrics: string[];
}

/** What parts of the page share. */
export interface Page {
  place: Place;
  sections: Sections;
  /** By the server's clock, in seconds; at the time of the answer. */
  now: number;
  /** Server's clock minus ours. */
  skew: number;
  isLive: boolean;
  /** A file of its own: nothing can be asked or done. */
  isReport: boolean;
  tryNumber: number | null;
  again: () => void;
}

export const PageContext = createContext<Page | null>(null);

export function usePage(): Page {
  const page = useContext(PageContext);
  if (page === null) {
    throw new Error("outside of a page");
  }
  return page;
}

/** The sections that came replace those known; the others stay. */
export function merged(known: TaskView | null, answer: unknown): TaskView {
  const view = (answer ?? {}) as TaskView;
  const hashes = view.hashes ?? {};
  // What the server no longer has a hash for is no longer there.
  const kept = Object.entries(known?.sections ?? {}).filter(([name]) => name in hashes);
  return { ...view, hashes, sections: { ...Object.fromEntries(kept), ...view.sections } };
}

/** Whether the try that is shown may still change: one that was, does not any more. */
export function lives(view: TaskView, tryNumber: number | null): boolean {
  const task = view.sections?.task;
  return !hasEnded(task?.state) && (tryNumber === null || tryNumber === task?.try_number);
}

/** Whether somebody may yet answer what was asked of the cluster, which may well outlive the task. */
function awaitsAnswer(view: TaskView): boolean {
  const asked = view.sections?.cluster?.asked;
  return asked !== undefined && !asked.answer && (view.now ?? 0) - (asked.asked_at ?? 0) < MOST_ANSWER_SECONDS;
}

export function sourceOf(place: Place, asked: Asked): Source<TaskView> {
  const wanted = new URLSearchParams();
  if (asked.tryNumber !== null) {
    wanted.set("try_number", String(asked.tryNumber));
  }
  asked.metrics.forEach((name) => wanted.append("metric", name));
  const at = `${place.base}api/task/${path(place.dagId, place.runId, place.taskId, place.mapIndex)}`;
  return {
    key: wanted.toString(),
    url: (known) => {
      const query = new URLSearchParams(wanted);
      for (const [section, hash] of Object.entries(known?.hashes ?? {})) {
        query.append("known", `${section}:${hash}`);
      }
      return `${at}?${query}`;
    },
    merge: merged,
    everySeconds: (view) => {
      if (lives(view, asked.tryNumber)) {
        // A class of one's own over an operator of ours is known for ours once it has begun.
        return view.sections?.task?.is_ours === false ? SELDOM_SECONDS : undefined;
      }
      return awaitsAnswer(view) ? ANSWER_EVERY_SECONDS : undefined;
    },
    isNews: (answer) => Object.keys((answer as TaskView | null)?.sections ?? {}).length > 0,
    isLive: (view) => lives(view, asked.tryNumber) || awaitsAnswer(view),
  };
}
