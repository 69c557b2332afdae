/** The end of the log, read from Airflow's own API. */

import { useMemo, useRef, useState, useLayoutEffect } from "preact/hooks";
import { Trouble } from "../parts/trouble";
import { airflowTask } from "../place";
import { usePolled, type Source } from "../polling";
import { clean } from "../text";
import { number } from "../format";
import { usePage } from "./view";

const MOST_LINES = 1500;
const EVERY_SECONDS = 5;

interface LogLine {
  at: number;
  time: string;
  text: string;
  level: "error" | "warning" | "info";
}

interface Log {
  lines: LogLine[];
  leftOut: number;
}

type Entry = string | { event?: unknown; level?: unknown; timestamp?: unknown; error_detail?: unknown };

// Within a line of a job, whose own level Airflow does not know.
const ERROR = /\b(ERROR|CRITICAL|FATAL)\b|^Traceback \(most recent call last\)|\b[A-Z]\w*(Error|Exception)\b:/;
const WARNING = /\bWARN(ING)?\b|\b[A-Z]\w*Warning\b:/;

function lineOf(entry: Entry, at: number): LogLine {
  const isText = typeof entry === "string";
  const text = clean(isText ? entry : entry.event);
  const said = isText ? "" : String(entry.level ?? "").toLowerCase();
  const level = /^(error|critical|fatal)$/.test(said) || ERROR.test(text.slice(0, 400)) ? "error" : said === "warning" || WARNING.test(text.slice(0, 400)) ? "warning" : "info";
  return { at, time: isText ? "" : clean(entry.timestamp).slice(11, 19), text, level };
}

function logOf(_known: Log | null, answer: unknown): Log {
  const content = (answer as { content?: Entry[] } | null)?.content ?? [];
  const entries = content.filter((entry) => !/^::(end)?group::/.test(String(typeof entry === "string" ? entry : entry?.event)));
  const from = Math.max(0, entries.length - MOST_LINES);
  return { lines: entries.slice(from).map((entry, at) => lineOf(entry, from + at + 1)), leftOut: from };
}

export function LogTail() {
  const { place, sections, tryNumber, isLive } = usePage();
  const number = tryNumber ?? sections.task?.try_number ?? 1;
  const source = useMemo<Source<Log>>(() => {
    const url = `${airflowTask(place)}/logs/${number}?map_index=${place.mapIndex}&full_content=false`;
    return { key: `${url} ${isLive}`, url: () => url, merge: logOf, isLive: () => isLive, everySeconds: EVERY_SECONDS };
  }, [place, number, isLive]);
  const polled = usePolled(source);
  return (
    <>
      <Trouble polled={polled} />
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
        {log.leftOut > 0 && <p class="quiet log-note">{number(log.leftOut)} lines before these are in the tab Logs.</p>}
        {shown.map((line) => (
          <div key={line.at} class={`log-line ${line.level}`}>
            <span class="log-time">{line.time}</span>
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
