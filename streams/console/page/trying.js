// A sentence, tried: what came of it, and the way it went.

import { ask } from "./api.js";
import { $, h } from "./dom.js";
import { share, took } from "./format.js";

const WORDS = { answered: "answered", unsure: "was unsure", timeout: "was too slow", failed: "failed", circuit_open: "was left alone", unavailable: "is not there" };
const LEVELS = { answered: "ok", unsure: "idle", timeout: "fail", failed: "fail", circuit_open: "warn", unavailable: "off" };

export function makeTrying() {
  const text = h("textarea", { id: "try-text", rows: 2, maxlength: 10_000, required: true, placeholder: "where is my parcel?", "aria-describedby": "try-hint" });
  const user = h("input", { id: "try-user", maxlength: 200, autocomplete: "off", placeholder: "anybody" });
  const go = h("button", { type: "submit", class: "primary" }, "Ask");
  const answer = h("div", { class: "answer", role: "status" }, h("p", { class: "hint" }, "The answer, and how it came about, will stand here."));
  const form = h(
    "form",
    { class: "try" },
    h("div", { class: "field wide" }, h("label", { for: "try-text" }, "What somebody says"), text, h("p", { id: "try-hint", class: "hint" }, "Enter asks; Shift and Enter begin a new line.")),
    h("div", { class: "field" }, h("label", { for: "try-user" }, "As user"), user),
    go,
  );
  form.onsubmit = async (event) => {
    event.preventDefault();
    go.disabled = true;
    const begun = performance.now();
    try {
      const body = { text: text.value, ...(user.value.trim() ? { user_id: user.value.trim() } : {}) };
      const [{ result }] = await ask("POST", "/api/v1/intents/classify?publish=false", body);
      answer.replaceChildren(...explained(result, (performance.now() - begun) / 1000));
    } catch (problem) {
      answer.replaceChildren(h("p", { class: "fault" }, problem.message));
    }
    go.disabled = false;
  };
  text.onkeydown = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  };
  $("trying").append(form, answer);
}

function explained(result, seconds) {
  const candidates = [{ intent: result.intent, confidence: result.confidence, chosen: true }, ...(result.alternatives ?? [])];
  const tried = result.tried ?? [];
  const facts = [
    ["Strategy", result.strategy],
    ["Flags", `revision ${result.flags_revision ?? 0}`],
    ["Release", result.release],
    ["Round trip", took(seconds)],
    ...(result.experiment_arm ? [["Experiment", `arm ${result.experiment_arm}`]] : []),
    ...Object.entries(result.exposures ?? {}).map(([flag, variant]) => [flag, variant]),
    ...(result.lesson ? [["Lesson", `revision ${result.lesson}: people's corrections decided`]] : []),
  ];
  return [
    h("p", { class: "intent" }, h("b", {}, result.intent ?? "out of scope"), h("span", {}, ` by ${result.cached ? "the cache, once by " : ""}${result.tier}`)),
    h("ul", { class: "candidates" }, ...candidates.map(candidate)),
    h("h3", {}, "Why"),
    tried.length
      ? h("ol", { class: "way" }, ...tried.map((turn) => h("li", { "data-level": LEVELS[turn.outcome] ?? "idle" }, h("i", { "aria-hidden": "true" }), h("p", {}, h("b", {}, turn.tier), ` ${WORDS[turn.outcome] ?? turn.outcome}`, turn.reason ? h("span", {}, `: ${turn.reason}`) : ""))))
      : h("p", { class: "hint" }, "No tier was asked."),
    result.degraded ? h("p", { class: "hint" }, "A tier that was asked could not answer: with it, the answer might be another.") : null,
    h("dl", { class: "facts" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
  ].filter(Boolean);
}

function candidate({ intent, confidence, chosen }) {
  const bar = h("i");
  bar.style.inlineSize = `${confidence * 100}%`;
  return h("li", { "data-chosen": chosen }, h("span", {}, intent ?? "out of scope"), h("span", { class: "meter", "aria-hidden": "true" }, bar), h("b", {}, `${share(confidence)} %`));
}
