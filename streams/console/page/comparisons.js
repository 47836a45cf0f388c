// Rollouts and experiments under way: where each stands, what the evidence says, and how to stop one.

import { access, ask, refused } from "./api.js";
import { makeChange } from "./changing.js";
import { $, h, keep, say, state } from "./dom.js";
import { ago, count } from "./format.js";

let shown = null;
access.onchange(() => (shown = null));

export async function followComparisons(revision, { anew = false } = {}) {
  if (shown === revision && !anew) return;
  shown = revision;
  try {
    const [[{ rollouts }], [{ experiments }]] = await Promise.all([ask("GET", "/api/v1/rollouts"), ask("GET", "/api/v1/experiments")]);
    const all = [...rollouts.map((each) => ({ ...each, kind: "rollout" })), ...experiments.map((each) => ({ ...each, kind: "experiment" }))];
    const empty = { kind: "none", flag: "" };
    keep($("comparison-list"), all.length ? all : [empty], (each) => each.kind + each.flag, (each) => (each.kind === "none" ? nothing() : makeRow(each)));
  } catch (problem) {
    if (!refused(problem)) shown = null; // asked again with the next picture
  }
}

function nothing() {
  return { node: h("li", { class: "empty" }, h("p", {}, "Nothing climbs and nothing is compared."), h("p", { class: "hint" }, "Begin with ", h("code", {}, "intentstream rollout start"), " or ", h("code", {}, "intentstream experiments start"), ".")) };
}

const LEVELS = { running: "ok", paused: "warn", aborted: "fail", rolled_back: "fail" };

function makeRow(first) {
  let now = first;
  const path = `/api/v1/${first.kind}s/${first.flag}`;
  const condition = state("idle", "");
  const where = h("p", { class: "hint" });
  const who = h("p", { class: "by" });
  const found = h("div", { class: "evidence" });
  const look = h("button", { type: "button", class: "quiet" }, "What does the evidence say?");
  const acts = h("div", { class: "acts" });
  const node = h("li", { class: "comparison" }, h("div", {}, h("h3", {}, first.flag), condition.node, where, who, found), h("div", { class: "acts" }, look, acts));
  look.onclick = async () => {
    look.disabled = true;
    found.replaceChildren(h("p", { class: "hint" }, "Reading the evidence\u202f…"));
    try {
      found.replaceChildren(...evidence((await ask("GET", path))[0]));
    } catch (problem) {
      found.replaceChildren(h("p", { class: "fault" }, problem.message));
    }
    look.disabled = false;
  };
  const act = (word, title, text, danger) =>
    h("button", { type: "button", class: "quiet", onclick: async () => {
      const answer = await makeChange({ title, text, verb: word[0].toUpperCase() + word.slice(1), danger, method: "POST", path: `${path}/${word}`, etag: `"${now.revision}"`, body: {} });
      if (answer) followComparisons(answer.revision, { anew: true });
    } }, word[0].toUpperCase() + word.slice(1));
  const update = (each) => {
    now = each;
    const stands = each.rollout?.state ?? each.experiment.state ?? (each.experiment.winner ? "concluded" : "running");
    condition.update(LEVELS[stands] ?? "idle", `${each.kind}, ${stands.replace("_", " ")}`);
    say(where, each.kind === "rollout" ? `${each.percentage} % of users have it.` : `${each.percentage} % of users take part: ${Object.entries(each.strategies).map(([name, strategy]) => `${name} is ${strategy}`).join(", ")}.`);
    say(who, `${each.changed_by}, ${ago(each.changed_at)}: ${each.reason}`);
    const buttons = [];
    if (each.kind === "rollout" && stands === "running") buttons.push(act("pause", `Pause the rollout of ${each.flag}?`, "It stays where it is until somebody goes on."));
    if (each.kind === "rollout" && stands === "paused") buttons.push(act("resume", `Resume the rollout of ${each.flag}?`, "Evidence begins anew."));
    if (each.kind === "rollout" && ["running", "paused"].includes(stands)) buttons.push(act("abort", `Abort the rollout of ${each.flag}?`, "It is taken from everyone whom chance gave it.", true));
    acts.replaceChildren(...buttons);
  };
  return { node, update };
}

function evidence(each) {
  if (each.kind === undefined && each.assessment === undefined) {
    const lines = each.guardrails.map((guard) => h("li", {}, h("b", {}, guard.metric), ` ${guard.reason}`));
    return [h("p", {}, each.verdict ? `${each.verdict}: ${each.why}` : "Nobody has looked: it is not running."), each.treated === null ? null : h("p", { class: "hint" }, `${count(each.treated)} utterances with it, ${count(each.control)} without.`), h("ul", {}, ...lines)].filter(Boolean);
  }
  if (!each.assessment) return [h("p", {}, "It is concluded.")];
  const arms = each.assessment.arms.map((arm) => h("li", {}, h("b", {}, arm.name), ` ${count(arm.users)} users, ${count(arm.utterances)} utterances. ${arm.reason}`));
  return [h("p", {}, `${each.assessment.verdict}: ${each.assessment.reason}`), h("ul", {}, ...arms)];
}
