/** Words and tones for states, ours, Airflow's and Ray's. */

import type { Tone } from "./parts/basics";
import { words } from "./text";

const PHASES: Record<string, [string, Tone]> = {
  waiting_cluster: ["Waiting for the cluster", "wait"],
  waiting_room: ["Waiting for room", "wait"],
  queued: ["Queued on Ray", "wait"],
  running: ["Running", "busy"],
  collecting: ["Collecting the result", "busy"],
  succeeded: ["Succeeded", "good"],
  failed: ["Failed", "bad"],
  stopped: ["Stopped", "quiet"],
  lost: ["Lost", "bad"],
  skipped: ["Skipped", "quiet"],
  detached: ["Detached: Ray goes on without Airflow", "quiet"],
  abandoned: ["Abandoned", "quiet"],
  none: ["Not started", "quiet"],
};

export function phase(name: unknown): { label: string; tone: Tone } {
  const found = Object.hasOwn(PHASES, String(name)) ? PHASES[String(name)] : undefined;
  return found ? { label: found[0], tone: found[1] } : { label: words(name) || "Unknown", tone: toneOf(name) };
}

const GOOD = /^(success|succeeded|finished|terminated|healthy|running_healthy|alive|done|passed|ok)$/;
const BAD = /^(failed|error|errored|dead|unhealthy|deploy_failed|lost|upstream_failed|crashed)$/;
const BUSY = /^(running|updating|deploying|upscaling|downscaling|begun|restarting|collecting)$/;
const WAIT = /^(pending|queued|scheduled|waiting.*|deferred|paused|starting|not_started|up_for_.*|pending_.*)$/;

/** A tone for any state's word. */
export function toneOf(state: unknown): Tone {
  const name = String(state ?? "").toLowerCase();
  if (GOOD.test(name)) return "good";
  if (BAD.test(name)) return "bad";
  if (BUSY.test(name)) return "busy";
  return WAIT.test(name) ? "wait" : "quiet";
}

const ENDED_IN_AIRFLOW = ["success", "failed", "skipped", "upstream_failed", "removed"];

export function hasEnded(state: unknown): boolean {
  return ENDED_IN_AIRFLOW.includes(String(state));
}

const WORKLOADS: Record<string, string> = {
  submit: "Ray job",
  function: "Python function on Ray",
  train: "Training",
  tune: "Tuning",
  batch_inference: "Batch inference",
  batch: "Batch inference",
  rllib: "Reinforcement learning",
  serve: "Serving",
};

export function workload(name: unknown): string {
  return (Object.hasOwn(WORKLOADS, String(name)) && WORKLOADS[String(name)]) || words(name);
}
