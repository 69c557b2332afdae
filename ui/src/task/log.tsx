/** The end of the log, read from Airflow's own API. */

import { useMemo, useRef, useState, useLayoutEffect } from "preact/hooks";
import { When } from "../parts/basics";
import { Trouble } from "../parts/trouble";
import { airflowTask } from "../place";
import { usePolled, type Source } from "../polling";
import { clean } from "../text";
import { isNumber, number } from "../format";
import { usePage } from "./view";

const MOST_LINES = 1500;
const MOST_BYTES = 16 * 1024 * 1024;
const EVERY_SECONDS = 5;
// For each answer Airflow goes through all lines of the log, however few of them are new.
const LINES_A_SECOND = 10_000;
const MOST_REPEATED = 100;

interface Line {
  /** In seconds since 1970, where the line has a time. */
  time: number | null;
  text: string;
  level: "error" | "warning" | "info";
}

interface Log {
  /** What it is the log of: a try in a state of Airflow's, since with the state change the places that Airflow reads from. */
  of: string;
  lines: (Line & { at: number })[];
  /** How many of all lines are before the token: what comes with it replaces those after it. */
  beforeToken: number;
  token: string | null;
  isMore: boolean;
}

type Entry = string | { event?: unknown; level?: unknown; timestamp?: unknown; error_detail?: unknown };

// Within a line of a job, whose own level Airflow does not know.
const ERROR = /\b(ERROR|CRITICAL|FATAL)\b|^Traceback \(most recent call last\)|\b[A-Z]\w*(Error|Exception)\b:/;
const WARNING = /\bWARN(ING)?\b|\b[A-Z]\w*Warning\b:/;

function lineOf(entry: Entry): Line {
  const isText = typeof entry === "string";
  const text = clean(isText ? entry : entry.event);
  const said = isText ? "" : String(entry.level ?? "").toLowerCase();
  const level = /^(error|critical|fatal)$/.test(said) || ERROR.test(text.slice(0, 400)) ? "error" : said === "warning" || WARNING.test(text.slice(0, 400)) ? "warning" : "info";
  const time = isText ? null : Date.parse(String(entry.timestamp)) / 1000;
  return { time: isNumber(time) ? time : null, text, level };
}

/** Airflow gives no token where it knows of no more lines; those after the last token are then told anew each time. */
function logOf(of: string, known: Log | null, answer: unknown): Log {
  const { content, continuation_token: next } = (answer ?? {}) as { content?: Entry[]; continuation_token?: string | null };
  const entries = (content ?? []).filter((entry) => !/^::(end)?group::/.test(String(typeof entry === "string" ? entry : entry?.event)));
  const { beforeToken, token, lines } = known?.of === of ? known : { beforeToken: 0, token: null, lines: [] };
  const before = lines.filter((line) => line.at <= beforeToken);
  const again = repeated(before, entries.slice(0, MOST_REPEATED).map(lineOf));
  const from = Math.max(again, entries.length - MOST_LINES);
  const fresh = entries.slice(from).map((entry, at) => ({ ...lineOf(entry), at: beforeToken + from - again + at + 1 }));
  return {
    of,
    lines: [...before, ...fresh].slice(-MOST_LINES),
    beforeToken: next ? beforeToken + entries.length - again : beforeToken,
    token: next ?? token,
    isMore: Boolean(next),
  };
}

/** How many lines are told once more: one of an earlier time, which came late, has moved those before the token past it. */
function repeated(before: Line[], told: Line[]): number {
  const isSame = (one: Line | undefined, other: Line) => one?.time === other.time && one.text === other.text;
  const counts = told.map((_line, at) => at + 1).filter((count) => count <= before.length && told[0]?.time !== null);
  const isAgain = (count: number) => told.slice(0, count).every((line, at) => isSame(before[before.length - count + at], line));
  return Math.max(0, ...counts.filter(isAgain));
}

export function LogTail() {
  const { place, sections, tryNumber, isLive } = usePage();
  const number = tryNumber ?? sections.task?.try_number ?? 1;
  const state = sections.task?.state ?? "";
  const source = useMemo<Source<Log>>(() => {
    const url = `${airflowTask(place)}/logs/${number}?map_index=${place.mapIndex}&full_content=false`;
    const of = `${url} ${state}`;
    return {
      key: `${of} ${isLive}`,
      url: (known) => (known?.of === of && known.token !== null ? `${url}&token=${encodeURIComponent(known.token)}` : url),
      mostBytes: MOST_BYTES,
      // Airflow refuses a token that it did not sign, or not with the secret key that it has now.
      isStale: (known, problem) => problem.status === 400 && known.of === of && known.token !== null,
      merge: (known, answer) => logOf(of, known, answer),
      isLive: (log) => isLive || log.isMore,
      everySeconds: (log) => Math.max(EVERY_SECONDS, (log.lines.at(-1)?.at ?? 0) / LINES_A_SECOND),
    };
  }, [place, number, state, isLive]);
  const polled = usePolled(source);
  return (
    <>
      <Trouble polled={polled} />
      {polled.problem && !(polled.value && polled.problem.passes) && (
        <p class="quiet note">The tab Logs has the whole log, however large it is.</p>
      )}
      {polled.value ? <Lines log={polled.value} /> : !polled.problem && <div class="skeleton log-box" role="status" aria-label="Loading" />}
    </>
  );
}

function Lines({ log }: { log: Log }) {
  const [find, setFind] = useState("");
  const [level, setLevel] = useState("");
  const wanted = find.toLowerCase();
  const shown = useMemo(
    () =>
      log.lines.filter(
        (line) =>
          (!wanted || line.text.toLowerCase().includes(wanted)) &&
          (!level || line.level === level || (level === "warning" && line.level === "error")),
      ),
    [log, wanted, level],
  );
  const box = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  useLayoutEffect(() => {
    if (box.current && isAtEnd.current) {
      box.current.scrollTop = box.current.scrollHeight;
    }
  }, [shown]);
  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current as HTMLDivElement;
    isAtEnd.current = scrollHeight - scrollTop - clientHeight < 24;
  };
  const leftOut = (log.lines[0]?.at ?? 1) - 1;
  const errors = log.lines.filter((line) => line.level === "error").length;
  return (
    <>
      <div class="table-tools">
        <input type="search" placeholder="Search the log" aria-label="Search the log" value={find} onInput={(event) => setFind(event.currentTarget.value)} />
        <label class="field">
          Show
          <select value={level} onChange={(event) => setLevel(event.currentTarget.value)}>
            <option value="">all lines</option>
            <option value="warning">warnings and errors</option>
            <option value="error">errors</option>
          </select>
        </label>
        <span class="quiet table-count" role="status">
          {number(shown.length)} lines{errors > 0 && `, ${number(errors)} with errors`}
        </span>
      </div>
      <div ref={box} class="log-box" role="log" aria-live="off" aria-label="Log" tabIndex={0} onScroll={scrolled}>
        {leftOut > 0 && <p class="quiet log-note">{number(leftOut)} lines before these are in the tab Logs.</p>}
        {shown.map((line) => (
          <div key={line.at} class={`log-line ${line.level}`}>
            <span class="log-time">{line.time !== null && <When at={line.time} short />}</span>
            {line.level !== "info" && <span class="off-screen">{line.level}: </span>}
            <bdi class="log-text">
              <Found text={line.text} wanted={wanted} />
            </bdi>
          </div>
        ))}
        {!shown.length && <p class="quiet log-note">{log.lines.length ? "No line matches." : "There are no lines yet."}</p>}
      </div>
    </>
  );
}

function Found({ text, wanted }: { text: string; wanted: string }) {
  const at = wanted ? text.toLowerCase().indexOf(wanted) : -1;
  if (at < 0) {
    return <>{text}</>;
  }
  return (
    <>
      {text.slice(0, at)}
      <mark>{text.slice(at, at + wanted.length)}</mark>
      {text.slice(at + wanted.length)}
    </>
  );
}
