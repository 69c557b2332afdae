/** Requests of the same origin; by cookie, with a time limit, and with words for what goes wrong. */

import { bytes } from "./format";

export class Problem extends Error {
  constructor(
    /** 0: no answer. */
    readonly status: number,
    message: string,
  ) {
    super(message);
  }

  /** Whether asking again later may help by itself. */
  get passes(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }

  get advice(): string {
    if (this.status === 0) {
      return "Airflow does not answer. Is its API server running, and are you online?";
    }
    if (this.status === 401) {
      return "You are signed out. Reload Airflow's page to sign in again.";
    }
    if (this.status === 403) {
      return "Your role in Airflow does not allow to see this. Ask for read access to the DAG's task instances.";
    }
    if (this.status === 404) {
      return "Airflow knows no such task instance. It may have been deleted.";
    }
    if (this.status === 413) {
      return "This is too large to be read here.";
    }
    if (this.passes) {
      return "Airflow's API server has a problem; its log says more. This page asks again by itself.";
    }
    return "Reload the page. If that does not help, the API server's log says more.";
  }
}

const MOST_SECONDS = 20;

export async function request(url: string, init: RequestInit = {}, mostBytes = Infinity): Promise<unknown> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), MOST_SECONDS * 1000);
  init.signal?.addEventListener("abort", () => limit.abort());
  try {
    const answer = await fetch(url, {
      credentials: "same-origin",
      cache: "no-store",
      ...init,
      headers: { Accept: "application/json", ...init.headers },
      signal: limit.signal,
    });
    const text = await textOf(answer, mostBytes);
    const body = parsed(text);
    if (!answer.ok) {
      throw new Problem(answer.status, detailOf(body) || `Airflow answered ${answer.status}`);
    }
    if (body === undefined && text) {
      throw new Problem(502, "The answer is not JSON: something between Airflow and this browser gave it");
    }
    return body;
  } catch (error) {
    if (error instanceof Problem) {
      throw error;
    }
    throw new Problem(0, limit.signal.aborted ? `No answer within ${MOST_SECONDS} s` : "The request failed");
  } finally {
    clearTimeout(timer);
  }
}

export function send(method: "POST" | "PATCH", url: string, body: unknown): Promise<unknown> {
  return request(url, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

async function textOf(answer: Response, mostBytes: number): Promise<string> {
  const reader = answer.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    size += part.value.length;
    if (size > mostBytes) {
      void reader?.cancel();
      throw new Problem(413, `The answer is larger than ${bytes(mostBytes)}`);
    }
    text += decoder.decode(part.value, { stream: true });
  }
  return text + decoder.decode();
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function detailOf(body: unknown): string {
  const detail = (body as { detail?: unknown } | undefined)?.detail;
  if (typeof detail === "string") {
    return detail;
  }
  return detail === undefined ? "" : JSON.stringify(detail).slice(0, 300);
}
