/** What a person asks of a cluster that others may use, too; who waits on it answers, or the next clean-up. */

import { useState } from "preact/hooks";
import { Problem, send } from "../fetching";
import { isNumber } from "../format";
import { Ago, Dialog, DialogButtons } from "../parts/basics";
import { path, type Place } from "../place";
import { Said } from "../text";
import type { ClusterSection } from "../types";
import { usePage } from "./view";

/** What a person may ask of it, as of which task instance, and by which clock. */
interface Asking {
  cluster: ClusterSection;
  /** Of the task instance by which it is asked; null where nothing can be asked. */
  place: Place | null;
  /** Server's clock minus ours. */
  skew: number;
  /** Look at once what came of it. */
  again: () => void;
}

const HOURS = [1, 4, 12, 24, 72];

interface Wish {
  action: "extend" | "end";
  seconds?: number;
}

async function ask(place: Place, wish: Wish): Promise<string> {
  const at = path(place.dagId, place.runId, place.taskId, place.mapIndex);
  const answer = (await send("POST", `${place.base}api/cluster-request/${at}`, wish)) as { told?: number } | null;
  return answer?.told
    ? "Asked: who waits on the cluster does it within a minute, else the next clean-up."
    : "Nobody waits on this cluster, and no task of this run made it: nobody could be asked.";
}

/** What was asked last, and what came of it. */
function Asked({ cluster, skew }: { cluster: ClusterSection; skew: number }) {
  const asked = cluster.asked;
  if (!asked) {
    return null;
  }
  return (
    <p class="quiet note">
      {asked.action === "end" ? "To end it" : "To keep it longer"} was asked by <Said text={asked.by || "a person"} most={60} />{" "}
      <Ago at={asked.asked_at} skew={skew} />
      {": "}
      {asked.answer ? <Said text={asked.answer} most={200} /> : "nobody has answered yet."}
    </p>
  );
}

/** On a task's page. */
export function ClusterActions({ cluster }: { cluster: ClusterSection }) {
  const page = usePage();
  // A task's own cluster goes with the task; one that never expires was there before, and is nobody's to end here.
  const isAlive = !cluster.is_gone && isNumber(cluster.expires_at) && cluster.expires_at > page.now;
  const may = !page.isReport && page.sections.task?.may?.clear && cluster.is_own === false && isAlive;
  return <AskOfCluster cluster={cluster} place={may ? page.place : null} skew={page.skew} again={page.again} />;
}

export function AskOfCluster({ cluster, place, skew, again }: Asking) {
  const [open, setOpen] = useState<"extend" | "end" | null>(null);
  const [hours, setHours] = useState(HOURS[1] as number);
  const [said, say] = useState<{ text: string; isBad?: boolean } | null>(null);
  if (place === null) {
    return cluster.asked ? <Asked cluster={cluster} skew={skew} /> : null;
  }
  const done = async (wish: Wish) => {
    setOpen(null);
    say({ text: "Asking…" });
    try {
      say({ text: await ask(place, wish) });
    } catch (error) {
      const problem = error as Problem;
      say({ text: `${problem.status === 403 ? "Airflow does not allow you that" : "That did not work"}: ${problem.message}`, isBad: true });
    }
    again();
  };
  const close = () => setOpen(null);
  return (
    <div class="cluster-actions">
      <Asked cluster={cluster} skew={skew} />
      <button type="button" class="button" onClick={() => setOpen("extend")}>
        Keep longer
      </button>{" "}
      <button type="button" class="button" onClick={() => setOpen("end")}>
        End cluster
      </button>
      <p class={`said ${said?.isBad ? "bad" : ""}`} role="status" aria-live="polite">
        {said?.text}
      </p>
      {open === "extend" && (
        <Dialog title="Keep this cluster longer?" onClose={close}>
          <label class="field">
            Keep <Said text={cluster.name} most={60} /> for another{" "}
            <select value={hours} onChange={(event) => setHours(Number(event.currentTarget.value))}>
              {HOURS.map((each) => (
                <option key={each} value={each}>
                  {each === 1 ? "1 hour" : `${each} hours`}
                </option>
              ))}
            </select>
          </label>
          <DialogButtons yes="Keep it" onYes={() => void done({ action: "extend", seconds: hours * 3600 })} onNo={close} />
        </Dialog>
      )}
      {open === "end" && (
        <Dialog title="End this cluster?" onClose={close}>
          <p>
            All that runs on <Said text={cluster.name} most={60} /> ends with it, also the jobs of others.
          </p>
          <DialogButtons yes="End it" onYes={() => void done({ action: "end" })} onNo={close} isDanger />
        </Dialog>
      )}
    </div>
  );
}
