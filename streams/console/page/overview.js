// The first thing anybody reads: whether it is well, in a sentence, and what is not.

import { $, h, keep, mark, say } from "./dom.js";
import { ago, count, plural, rate, since, took } from "./format.js";

const figure = (text) => h("b", {}, text);

/** The sentence, as what it is made of: figures stand out. */
function sentence(shot) {
  const { answered_per_second: answered, p95_seconds: p95 } = shot.rates;
  if (!shot.ready) return ["Not ready for traffic."];
  if (answered === null) return ["Ready. Measuring\u202f…"];
  if (answered < 0.05) return shot.rates.lag ? [figure(count(shot.rates.lag)), " utterances wait, and none is answered."] : ["Ready, and nothing to do."];
  const slow = p95 === null ? ["."] : [" in ", figure(took(p95)), "."];
  return ["Answering ", figure(rate(answered)), " utterances/s", ...slow];
}

function level(shot) {
  if (!shot.ready) return "fail";
  return shot.concerns.length ? "warn" : "ok";
}

const VERDICTS = { ok: "All is well", fail: "Not answering" };

export function showOverview(shot) {
  const now = level(shot);
  const verdict = VERDICTS[now] ?? plural(shot.concerns.length, "thing needs a look", "things need a look");
  mark($("verdict"), "data-level", now);
  say($("verdict").lastElementChild, verdict);
  const parts = sentence(shot);
  const text = parts.map((part) => part.textContent ?? part).join("");
  if ($("headline").textContent !== text) $("headline").replaceChildren(...parts);
  say($("under"), under(shot, now));
  showConcerns(shot.concerns);
  // Numbers change each second; only that something else is wrong is worth being read aloud.
  const wrong = shot.concerns.map((concern) => concern.key).join();
  if (wrong !== $("aloud").dataset.wrong) {
    $("aloud").dataset.wrong = wrong;
    say($("aloud"), [verdict, ...shot.concerns.map((concern) => concern.what)].join(". "));
  }
  document.title = `${{ ok: "●", warn: "▲", fail: "■" }[now]} ${shot.worker_id} · intentstream`;
}

function under(shot, now) {
  const { lag, p50_seconds: p50 } = shot.rates;
  const partitions = Object.keys(shot.lag).length;
  const waiting = lag === null ? "No partitions yet" : lag === 0 ? "Nothing waits" : `${plural(lag, "utterance")} wait${lag === 1 ? "s" : ""}`;
  const parts = [partitions ? `${waiting} in ${plural(partitions, "partition")}` : waiting];
  if (p50 !== null && now !== "fail") parts.push(`Half are answered within ${took(p50)}, 19 of 20 within ${took(shot.rates.p95_seconds)}`);
  return `${parts.join(". ")}.`;
}

function showConcerns(concerns) {
  $("concerns").hidden = !concerns.length;
  keep($("concerns"), concerns, (concern) => concern.key, (first) => {
    const what = h("strong", {}, first.what);
    const when = h("span", { class: "when" });
    const why = h("p", { class: "why" });
    const advice = h("p", { class: "advice" });
    const word = h("span", { class: "aloud" }, first.level === "fail" ? "Failure: " : "Warning: ");
    const node = h("li", { "data-level": first.level }, h("i", { "aria-hidden": "true" }), h("div", {}, h("p", {}, word, what, when), why, advice));
    const update = (concern) => {
      mark(node, "data-level", concern.level);
      say(what, concern.what);
      say(when, concern.since ? ` since ${since(concern.since)} · ${ago(concern.since)}` : "");
      say(why, concern.why);
      say(advice, concern.advice);
    };
    return { node, update };
  });
}
