// Follows the worker's events, for ever: what breaks off is begun again, ever more patiently. EventSource could not
// send a token.

import { access, credentials, refusal, refused } from "./api.js";

const SILENCE_MS = 6_000;
const PAUSES_MS = [500, 1_000, 2_000, 4_000, 8_000];

/**
 * @param on by the event's name, what takes its content
 * @param tell takes {state: "live" | "waiting" | "locked" | "refused", problem, retryAt}
 * @returns what ends a pause at once
 */
export function follow(on, tell) {
  let wake = () => {};
  const pause = (milliseconds) =>
    new Promise((resolve) => {
      const timer = milliseconds === null ? null : setTimeout(resolve, milliseconds);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  addEventListener("online", () => wake());
  document.addEventListener("visibilitychange", () => document.hidden || wake());
  access.onchange(() => wake());

  (async () => {
    for (let failures = 0; ; ) {
      try {
        await read(on, () => {
          failures = 0;
          tell({ state: "live" });
        });
      } catch (problem) {
        if (refused(problem)) {
          tell({ state: "locked", problem });
          await pause(null);
          continue;
        }
        if (problem.status) {
          tell({ state: "refused", problem });
          await pause(PAUSES_MS.at(-1));
          continue;
        }
      }
      const milliseconds = PAUSES_MS[Math.min(failures++, PAUSES_MS.length - 1)];
      tell({ state: "waiting", retryAt: Date.now() + milliseconds });
      await pause(milliseconds);
    }
  })();
  return () => wake();
}

async function read(on, heard) {
  const stop = new AbortController();
  let watchdog = setTimeout(() => stop.abort(), SILENCE_MS);
  try {
    const response = await fetch("/console/events", { headers: credentials(), cache: "no-store", signal: stop.signal });
    if (!response.ok) throw await refusal(response);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(watchdog);
      watchdog = setTimeout(() => stop.abort(), SILENCE_MS);
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const [, name, content] = /^event: (\w+)\ndata: (.*)$/s.exec(event) ?? [];
        if (name) on[name]?.(JSON.parse(content));
        heard();
      }
    }
  } finally {
    clearTimeout(watchdog);
    stop.abort();
  }
}
