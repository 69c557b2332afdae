/** The try that is shown against the one before it. */

import { useMemo, useState } from "preact/hooks";
import { own } from "../format";
import { Curves, type Line } from "../parts/curves";
import { Trouble } from "../parts/trouble";
import { usePolled } from "../polling";
import { clean } from "../text";
import type { TaskView } from "../types";
import { LookTools, type Look } from "./training";
import { sourceOf, usePage } from "./view";

export function TryBefore() {
  const { sections, tryNumber } = usePage();
  const task = sections.task;
  const shown = tryNumber ?? task?.try_number;
  const before = (task?.tries ?? []).filter((one) => shown !== undefined && one < shown).sort((one, other) => other - one)[0];
  const names = Object.keys(sections.metrics?.series ?? {});
  if (shown === undefined || before === undefined || !names.length) {
    return null;
  }
  return <TwoTries key={before} shown={shown} before={before} names={names} />;
}

function TwoTries({ shown, before, names }: { shown: number; before: number; names: string[] }) {
  const { place, sections } = usePage();
  const [chosen, choose] = useState<string | null>(null);
  const [look, setLook] = useState<Look>({ isLog: false, smoothing: 0 });
  const metric = chosen ?? (names[0] as string);
  const source = useMemo(() => ({ ...sourceOf(place, { tryNumber: before, metrics: [metric] }), isLive: () => false }), [place, before, metric]);
  const polled = usePolled<TaskView>(source);
  const points = own(sections.metrics?.series, metric);
  const earlier = own(polled.value?.sections?.metrics?.series, metric);
  const lines = useMemo(
    (): Line[] => [
      { name: `try ${shown}`, points, isStrong: true },
      { name: `try ${before}`, points: earlier },
    ],
    [points, earlier, shown, before],
  );
  return (
    <figure class="curve spaced-below">
      <figcaption>
        <span class="curve-name">
          Try {shown} and try {before}
        </span>
        <span class="tools">
          <label class="field">
            Metric of the tries
            <select value={metric} onChange={(event) => choose(event.currentTarget.value)}>
              {names.map((name) => (
                <option key={name} value={name}>
                  {clean(name)}
                </option>
              ))}
            </select>
          </label>
          <LookTools look={look} set={setLook} />
        </span>
      </figcaption>
      <Trouble polled={polled} />
      <Curves title={`${metric} of try ${shown} and try ${before}`} lines={lines} height={220} isLog={look.isLog} smoothing={look.smoothing} />
      {polled.value && !earlier && <p class="quiet note">Of try {before} no curve of this metric was kept.</p>}
    </figure>
  );
}
