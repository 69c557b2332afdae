/**
 * What the pages read: the answers of `air/api/...`. Every field may be missing or null, unknown ones are passed over
 * (another version of the provider may answer), times are seconds since 1970 (UTC), numbers are finite.
 */

export type Maybe<T> = T | null | undefined;
/** A curve: two arrays of equal length, or none. */
export interface Points {
  x?: Maybe<number>[];
  y?: Maybe<number>[];
}
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

export interface TaskKey {
  dag_id?: string;
  run_id?: string;
  task_id?: string;
  map_index?: number;
}

export interface TaskSection extends TaskKey {
  operator?: string;
  workload?: string;
  /** Airflow's own word. */
  state?: string;
  try_number?: number;
  tries?: number[];
  started_at?: number;
  ended_at?: number;
  is_ours?: boolean;
  /** What could not be read, for example. */
  notes?: string[];
  may?: { stop?: boolean; clear?: boolean };
}

export interface StateSection {
  phase?: string;
  waiting_for?: string;
  waiting_since?: number;
  message?: string;
  done?: number;
  total?: number;
  updated_at?: number;
  error?: string;
}

export interface NodeRow {
  id?: string;
  ip?: string;
  is_head?: boolean;
  state?: string;
  message?: string;
  resources?: Record<string, number>;
}

export interface ClusterSection {
  /** Tells it from others, also from those of its name elsewhere. */
  id?: string;
  name?: string;
  backend?: string;
  conn_id?: string;
  namespace?: string;
  is_own?: boolean;
  dashboard_url?: string;
  resources?: Record<string, { used?: number; total?: number }>;
  nodes?: NodeRow[];
  nodes_total?: number;
  expires_at?: number;
  seen_at?: number;
  is_gone?: boolean;
  /** What a person has asked of it last; `answer` is what who did it has said. */
  asked?: { action?: string; by?: Maybe<string>; asked_at?: number; until?: Maybe<number>; answer?: Maybe<string> };
}

export interface AttemptRow {
  submission_id?: string;
  generation?: number;
  number?: number;
  try_number?: number;
  /** The later try that goes on with it, or has ended it. */
  taken_over_by?: number;
  phase?: string;
  message?: string;
  begun_at?: number;
  ended_at?: number;
  cluster?: string;
  is_current?: boolean;
  stop_pending?: boolean;
}

/** `name`: cluster, room, queue, run or collect; `to` is null while it lasts. */
export interface Segment {
  name?: string;
  from?: number;
  to?: number | null;
}

export interface MetricsSection {
  names?: string[];
  last?: Record<string, number>;
  series?: Record<string, Points>;
  /** The same curves of the attempt before, which another try began. */
  before?: Maybe<{ try_number?: number; series?: Record<string, Points> }>;
  x_label?: string;
  /** What was left out: how many, by what it is. */
  cut?: Maybe<Record<string, number>>;
}

export interface Checkpoint {
  at?: number;
  step?: number;
  uri?: string;
}

export interface TrialRow {
  trial?: string;
  status?: string;
  step?: number;
  config?: Record<string, Json>;
  values?: Record<string, number>;
  error?: string;
}

export interface TrialsSection {
  metric?: string;
  mode?: string;
  best?: string;
  params?: string[];
  metrics?: string[];
  rows?: TrialRow[];
  series?: Record<string, Points>;
  counts?: Record<string, number>;
  total?: number;
  cut?: Maybe<Record<string, number>>;
}

export interface BatchSection {
  rows?: number;
  total_rows?: number;
  blocks?: number;
  total_blocks?: number;
  rows_per_second?: number;
  seconds_left?: number;
  /** Rows so far over time. */
  series?: Points;
}

export interface Deployment {
  name?: string;
  status?: string;
  replicas?: number;
  target?: number;
}

export interface Application {
  name?: string;
  status?: string;
  route_prefix?: string;
  url?: string;
  version?: string;
  message?: string;
  deployments?: Deployment[];
}

export interface ServeStep {
  name?: string;
  at?: number;
  state?: string;
  message?: string;
}

export interface ServeSection {
  applications?: Application[];
  steps?: ServeStep[];
  version?: string;
}

export interface ResourcesSection {
  x?: number[];
  series?: Record<string, Maybe<number>[]>;
}

export interface DataSet {
  name?: string;
  uri?: string;
  rows?: number;
  schema?: { name?: string; type?: string }[];
}

export interface DataSection {
  inputs?: DataSet[];
  outputs?: DataSet[];
}

export interface FeatureUse {
  store?: string;
  feature_service?: string;
  features?: string[];
}

export interface Tracker {
  kind?: string;
  run_id?: string;
  url?: string;
  model?: Maybe<{ name?: string; version?: string | number; url?: string }>;
  gate?: Maybe<{ passed?: boolean; why?: string }>;
}

export interface LinkRow {
  label?: string;
  url?: string;
}

export interface Sections {
  task?: Maybe<TaskSection>;
  state?: Maybe<StateSection>;
  cluster?: Maybe<ClusterSection>;
  attempts?: Maybe<AttemptRow[]>;
  timeline?: Maybe<Segment[]>;
  metrics?: Maybe<MetricsSection>;
  /** Last values by metric, fresher than those of `metrics`. */
  values?: Maybe<Record<string, Maybe<number>>>;
  checkpoints?: Maybe<Checkpoint[]>;
  workers?: Maybe<{ count?: number; starts?: number; resumed_from?: string }>;
  trials?: Maybe<TrialsSection>;
  tasks?: Maybe<Record<string, Record<string, number>>>;
  batch?: Maybe<BatchSection>;
  serve?: Maybe<ServeSection>;
  resources?: Maybe<ResourcesSection>;
  data?: Maybe<DataSection>;
  features?: Maybe<FeatureUse[]>;
  tracker?: Maybe<Tracker[]>;
  links?: Maybe<LinkRow[]>;
  result?: Maybe<Json>;
}

/** `GET air/api/task/{dag_id}/{run_id}/{task_id}/{map_index}?try_number=&metric=&known=SECTION:HASH` */
export interface TaskView {
  version?: number;
  now?: number;
  hashes?: Record<string, string>;
  sections?: Sections;
}

/** `GET air/api/run/{dag_id}/{run_id}?known=HASH`: no more than the hash where it is known. */
export interface RunTask extends TaskKey {
  operator?: string;
  workload?: string;
  state?: string;
  phase?: string;
  try_number?: number;
  started_at?: number;
  ended_at?: number;
  message?: string;
  error?: string;
  cluster?: string;
  timeline?: Segment[];
  cpu_hours?: number;
  gpu_hours?: number;
}

export interface RunView {
  version?: number;
  now?: number;
  hash?: string;
  dag_id?: string;
  run_id?: string;
  state?: string;
  started_at?: number;
  ended_at?: number;
  tasks?: RunTask[];
  clusters?: (ClusterSection & { tasks?: string[]; cpu_hours?: number; gpu_hours?: number })[];
  cpu_hours?: number;
  gpu_hours?: number;
  /** How many tasks were left out. */
  cut?: number;
  /** How many histories come with the next answers: until then there are more hours than told. */
  unread?: number;
}

/** `GET air/api/clusters`: only of DAGs that the reader may see. */
export interface JobRow extends RunTask {
  submission_id?: string;
}

export interface ClustersView {
  version?: number;
  now?: number;
  hash?: string;
  /** `made_by`: the task that has made it for others, or found it there; `asks`: by which the reader may ask of it. */
  clusters?: (ClusterSection & {
    asks?: Maybe<TaskKey>;
    used_by?: (TaskKey & { phase?: string })[];
    made_by?: TaskKey & { at?: number; created?: boolean };
  })[];
  /** Newest first. */
  jobs?: JobRow[];
  /** What waits longer than it should: `what` it is, `why`, since when. */
  stuck?: (TaskKey & { what?: string; why?: string; since?: number; cluster?: string })[];
  /** What a clean-up would take, had it run now. */
  cleanup?: { kind?: string; name?: string; why?: string; cluster?: string; expires_at?: number }[];
  cut?: number;
}

/** `GET air/api/compare/{dag_id}/{task_id}/{map_index}?metric=&run=&this=`: `series` of the runs that `run` names. */
export interface CompareRun {
  run_id?: string;
  try_number?: number;
  state?: string;
  started_at?: number;
  ended_at?: number;
  values?: Record<string, number>;
  series?: Record<string, Points>;
}

export interface CompareView {
  version?: number;
  now?: number;
  metrics?: string[];
  /** Newest first. */
  runs?: CompareRun[];
  /** How many histories come with the next answers. */
  unread?: number;
}

/** What the report holds in `<script type="application/json" id="air-data">`: a view, as the API gives it. */
export interface ReportView extends TaskView {
  made_at?: number;
  environment?: Record<string, Json>;
}
