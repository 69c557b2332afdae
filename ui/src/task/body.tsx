/** A task's sections, in the order in which people ask for them. */

import { useMemo } from "preact/hooks";
import { Fold, Panel, Pill, SimpleTable, When } from "../parts/basics";
import { Timeline } from "../parts/timeline";
import { isNumber, number, span } from "../format";
import { Said } from "../text";
import { phase } from "../words";
import { Header } from "./header";
import { Compare } from "./compare";
import { LogTail } from "./log";
import { Cluster, DataInOut, Features, Links, Resources, Result, Tracked } from "./surroundings";
import { Training } from "./training";
import { Trials } from "./trials";
import { Batch, Functions, RollOut, Serving } from "./workloads";
import { usePage } from "./view";

export interface BodyProps {
  metrics: string[] | null;
  setMetrics: (names: string[]) => void;
  setTry: (tryNumber: number | null) => void;
}

export function Body({ metrics, setMetrics, setTry }: BodyProps) {
  const { isReport, sections } = usePage();
  return (
    <div class="sections">
      <Header choose={setTry} />
      <WhereTimeWent />
      <Batch />
      <Serving />
      <Trials />
      <Training chosen={metrics} choose={setMetrics} />
      <Functions />
      <div class="cards">
        <RollOut />
        <Result />
        <Tracked />
        <Cluster />
        <Resources />
        <DataInOut />
        <Features />
        <Links />
      </div>
      <Attempts />
      {!isReport && (
        <>
          <Fold title="Log" hint="its end, searchable" isOpen={sections.state?.phase === "failed"}>
            {() => <LogTail />}
          </Fold>
          <Fold title="Compare" hint="with earlier runs">
            {() => <Compare />}
          </Fold>
        </>
      )}
    </div>
  );
}

function WhereTimeWent() {
  const { sections, now } = usePage();
  const segments = sections.timeline;
  const lanes = useMemo(() => [{ label: "", segments: segments ?? [] }], [segments]);
  if (!segments?.length) {
    return null;
  }
  return (
    <Panel title="Where the time went" wide>
      <Timeline lanes={lanes} now={now} />
    </Panel>
  );
}

function Attempts() {
  const { sections, now } = usePage();
  const attempts = sections.attempts ?? [];
  if (!attempts.length) {
    return null;
  }
  const hasMessages = attempts.some((one) => one.message);
  const rows = [...attempts].reverse().map((one) => {
    const { label, tone } = phase(one.phase);
    return [
      <>
        {isNumber(one.number) ? number(one.number) : "–"}
        {one.is_current && <span class="quiet"> current</span>}
      </>,
      <>
        {isNumber(one.try_number) ? one.try_number : "–"}
        {isNumber(one.taken_over_by) && `, then ${one.taken_over_by}`}
      </>,
      <Pill tone={tone}>{one.stop_pending ? "Being stopped" : label}</Pill>,
      <When at={one.begun_at} />,
      isNumber(one.begun_at) ? span((isNumber(one.ended_at) ? one.ended_at : now) - one.begun_at) : "–",
      <Said text={one.cluster} most={40} />,
      <Said text={one.submission_id} most={40} class="mono" />,
      ...(hasMessages ? [<Said text={one.message} most={120} />] : []),
    ];
  });
  return (
    <Panel title="Attempts" wide>
      <SimpleTable
        label="Attempts"
        head={["Attempt", "Try", "State", "Began", "Took", "Cluster", "Ray job", ...(hasMessages ? ["Message"] : [])]}
        rows={rows}
        numeric={[4]}
      />
    </Panel>
  );
}
