/** Where this page is: what its shell says, else what its address says. */

export type PageName = "task" | "run" | "clusters" | "report";

export interface Place {
  page: PageName;
  /** Address of the plugin's app, with a slash at its end; relative ones are resolved by the browser. */
  base: string;
  dagId: string;
  runId: string;
  taskId: string;
  /** -1 where the task is not mapped. */
  mapIndex: number;
}

const PAGES: readonly string[] = ["task", "run", "clusters", "report"];

export function placeOf(root: HTMLElement, location: Pick<Location, "pathname">): Place {
  const path = location.pathname;
  const found = /^(.*?\/air\/)(?:(task|run|clusters)(?:\/(.*))?)?$/.exec(path);
  const parts = (found?.[3] ?? "").split("/").map(decoded);
  const page = root.dataset.page ?? found?.[2] ?? "task";
  return {
    page: (PAGES.includes(page) ? page : "task") as PageName,
    base: root.dataset.base ?? found?.[1] ?? "/air/",
    dagId: root.dataset.dagId ?? parts[0] ?? "",
    runId: root.dataset.runId ?? parts[1] ?? "",
    taskId: root.dataset.taskId ?? parts[2] ?? "",
    mapIndex: indexOf(root.dataset.mapIndex ?? parts[3]),
  };
}

/** Airflow leaves its placeholder as it is where a task is not mapped. */
function indexOf(text: string | undefined): number {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : -1;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A path of segments, each encoded. What is called `.` or `..` has no address: a browser leaves that out, encoded or not. */
export function path(...segments: (string | number)[]): string {
  return segments.map((segment) => encodeURIComponent(String(segment))).join("/");
}

/** Address of Airflow's own API of a task instance. */
export function airflowTask(place: Place): string {
  return `${place.base}../api/v2/dags/${path(place.dagId)}/dagRuns/${path(place.runId)}/taskInstances/${path(place.taskId)}`;
}

/** Address, in Airflow's UI, of the Ray tab of a task instance. */
export function tabOf(place: Place, task: { dag_id?: string; run_id?: string; task_id?: string; map_index?: number }): string {
  const mapped = (task.map_index ?? -1) >= 0 ? ["mapped", task.map_index as number] : [];
  const at = path("dags", task.dag_id ?? place.dagId, "runs", task.run_id ?? place.runId, "tasks", task.task_id ?? "", ...mapped);
  return `${place.base}../${at}/plugin/ray`;
}
