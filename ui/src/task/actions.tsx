/** Stop and clear, by Airflow's own API and permissions, after a question. */

import { useState } from "preact/hooks";
import { Dialog, DialogButtons } from "../parts/basics";
import { Problem, send } from "../fetching";
import { airflowTask, path, type Place } from "../place";
import { hasEnded } from "../words";
import { usePage } from "./view";

type Choice = "fresh" | "resume";

async function stop(place: Place): Promise<string> {
  await send("PATCH", `${airflowTask(place)}?map_index=${place.mapIndex}`, { new_state: "failed" });
  return "Marked as failed; the job on Ray is being stopped.";
}

async function clear(place: Place, choice: Choice): Promise<string> {
  const task = path(place.dagId, place.runId, place.taskId, place.mapIndex);
  const chosen = (await send("POST", `${place.base}api/clear-choice/${task}`, { on_clear: choice })) as { at?: number } | null;
  // Where this is not heard, the choice counts for a few minutes more, and then no longer.
  const tell = (isCleared: boolean) =>
    send("POST", `${place.base}api/clear-outcome/${task}`, { at: chosen?.at, is_cleared: isCleared }).catch(() => undefined);
  try {
    await send("POST", `${place.base}../api/v2/dags/${path(place.dagId)}/clearTaskInstances`, {
      dry_run: false,
      dag_run_id: place.runId,
      task_ids: [place.mapIndex < 0 ? place.taskId : [place.taskId, place.mapIndex]],
      only_failed: false,
      reset_dag_runs: true,
    });
  } catch (error) {
    // Without an answer of Airflow's own it may be cleared all the same.
    if (!(error as Problem).passes) {
      await tell(false);
    }
    throw error;
  }
  await tell(true);
  return choice === "fresh" ? "Cleared: it will start from the beginning." : "Cleared: it will resume from its last checkpoint.";
}

export function Actions() {
  const page = usePage();
  const [open, setOpen] = useState<"stop" | "clear" | null>(null);
  const [said, say] = useState<{ text: string; isBad?: boolean } | null>(null);
  const may = page.sections.task?.may;
  const done = async (action: Promise<string>) => {
    setOpen(null);
    say({ text: "Asking Airflow…" });
    try {
      say({ text: await action });
    } catch (error) {
      const problem = error as Problem;
      say({ text: `${problem.status === 403 ? "Airflow does not allow you that" : "That did not work"}: ${problem.message}`, isBad: true });
    }
    page.again();
  };
  const isPast = page.tryNumber !== null;
  const canStop = may?.stop && !isPast && !hasEnded(page.sections.task?.state);
  const canClear = may?.clear && !isPast;
  return (
    <>
      {canStop && (
        <button type="button" class="button" onClick={() => setOpen("stop")}>
          Stop
        </button>
      )}
      {canClear && (
        <button type="button" class="button" onClick={() => setOpen("clear")}>
          Clear
        </button>
      )}
      <p class={`said ${said?.isBad ? "bad" : ""}`} role="status" aria-live="polite">
        {said?.text}
      </p>
      {open === "stop" && <StopDialog onClose={() => setOpen(null)} onYes={() => void done(stop(page.place))} />}
      {open === "clear" && (
        <ClearDialog onClose={() => setOpen(null)} onYes={(choice) => void done(clear(page.place, choice))} />
      )}
    </>
  );
}

function StopDialog({ onClose, onYes }: { onClose: () => void; onYes: () => void }) {
  return (
    <Dialog title="Stop this task?" onClose={onClose}>
      <p>Airflow marks the task as failed, and its job on Ray is stopped. Tasks that need it will not run.</p>
      <DialogButtons yes="Stop it" onYes={onYes} onNo={onClose} isDanger />
    </Dialog>
  );
}

function ClearDialog({ onClose, onYes }: { onClose: () => void; onYes: (choice: Choice) => void }) {
  const [choice, setChoice] = useState<Choice>("resume");
  const radio = (value: Choice, label: string, hint: string) => (
    <label class="choice">
      <input type="radio" name="on_clear" value={value} checked={choice === value} onChange={() => setChoice(value)} />
      <span>
        <b>{label}</b>
        <span class="quiet"> {hint}</span>
      </span>
    </label>
  );
  return (
    <Dialog title="Clear this task?" onClose={onClose}>
      <p>It runs again, by itself; tasks after it are left as they are.</p>
      <fieldset>
        <legend>Where it begins</legend>
        {radio("resume", "Resume", "from the last checkpoint, where there is one")}
        {radio("fresh", "Fresh", "from the beginning; earlier checkpoints are not used")}
      </fieldset>
      <DialogButtons yes="Clear it" onYes={() => onYes(choice)} onNo={onClose} />
    </Dialog>
  );
}
