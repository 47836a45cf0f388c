// Dead letters by kind of fault, and how to send them again.

import { ask } from "./api.js";
import { makeChange } from "./changing.js";
import { $, h, keep, say } from "./dom.js";
import { count, plural } from "./format.js";

const REPLAY = "/api/v1/dead-letters/replay";

export function makeLetters() {
  $("dead").append(
    h("p", { id: "no-letters", class: "empty" }, "None since this worker started."),
    h("ul", { id: "letter-list", class: "rows" }),
    h("p", { class: "hint" }, "All there are on the topic, also those of other workers and of before: ", h("code", {}, "intentstream deadletter list")),
  );
}

export function showLetters(letters) {
  const kinds = Object.entries(letters).filter(([, number]) => number > 0);
  $("no-letters").hidden = kinds.length > 0;
  keep($("letter-list"), kinds, ([code]) => code, makeRow);
}

function makeRow([code]) {
  const number = h("b", { class: "big" });
  const news = h("p", { class: "news", role: "status" });
  const send = h("button", { type: "button", class: "quiet", "aria-label": `Send ${code} again` }, "Send again");
  send.onclick = async () => {
    send.disabled = true;
    say(news, "Looking at what is there\u202f…");
    try {
      const [plan] = await ask("POST", REPLAY, { codes: [code], dry_run: true });
      say(news, plan.found ? "" : `Nothing can be sent${plan.left.length ? `: ${plan.left[0].reason}` : ""}.`);
      if (plan.found) await confirm(code, plan, news);
    } catch (problem) {
      say(news, problem.message);
    }
    send.disabled = false;
  };
  const node = h("li", { class: "letter" }, number, h("div", {}, h("h3", {}, code), news), send);
  return { node, update: ([, now]) => say(number, count(now)) };
}

async function confirm(code, plan, news) {
  const where = Object.entries(plan.topics).map(([topic, number]) => `${count(number)} to ${topic}`);
  const left = plan.left.length ? ` ${plural(plan.left.length, "letter")} cannot be sent.` : "";
  const report = await makeChange({
    title: `Send ${plural(plan.found, "dead letter")} again?`,
    text: `${where.join(", ")}; all of the kind ${code}, as they were.${left} What was sent before and went well is done twice.`,
    verb: "Send",
    why: false,
    method: "POST",
    path: REPLAY,
    body: { codes: [code] },
  });
  if (report) say(news, `${count(report.sent)} of ${count(report.found)} sent.`);
}
