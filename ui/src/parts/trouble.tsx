/** What a page says when it hears nothing, or nothing new. */

import { span } from "../format";
import { STALE_SECONDS, useNow, type Polled } from "../polling";
import { Said } from "../text";
import { Notice } from "./basics";

export function Trouble({ polled }: { polled: Polled<unknown> }) {
  const now = useNow(polled.isLive || polled.problem !== null);
  const { problem, heardAt } = polled;
  const age = heardAt === null ? null : now - heardAt;
  if (!problem) {
    // Shown in its place from the start, so that a screen reader hears what comes.
    return <div aria-live="polite" />;
  }
  const isOld = age !== null && age < STALE_SECONDS;
  return (
    <div aria-live="polite">
      {!isOld && (
        <Notice tone={age === null ? "bad" : "wait"} title={age === null ? "Nothing to show yet" : `Last word ${span(Math.round(age))} ago`}>
          <p>{problem.advice}</p>
          <p class="quiet">
            <Said text={problem.message} most={300} />{" "}
            <button type="button" class="button small" onClick={polled.again}>
              Ask again
            </button>
          </p>
        </Notice>
      )}
    </div>
  );
}
