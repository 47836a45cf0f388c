// Rollouts and experiments under way: where each stands, what the evidence says, how to begin one and how to end it.

import { access, ask, refused } from "./api.js";
import { choice, field, makeChange } from "./changing.js";
import { $, h, keep, say, state } from "./dom.js";
import { ago, count, lasting } from "./format.js";

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

const ROUTES = ["adaptive", "performance", "quality", "standard"];

$("compare").onclick = async () => {
  const name = field("Name of the flag", { required: true, pattern: "[a-z][a-z0-9_]*", maxlength: 64, spellcheck: "false" }, "Small letters, digits and underscores; a flag of its own.");
  const control = choice("As it is", ROUTES.map((route) => [route, route]));
  const other = choice("Beside it", ROUTES.map((route) => [route, route]));
  other.input.value = "performance";
  const percentage = field("Share of users who take part, %", { type: "number", required: true, min: 1, max: 100, step: "any", value: 100 });
  const answer = await makeChange({
    title: "Compare two routes?",
    text: "Half of those who take part get each, and keep it. Nobody else is touched. It runs until somebody concludes it.",
    verb: "Compare",
    fields: [name, control, other, percentage],
    method: "POST",
    path: () => `/api/v1/experiments/${encodeURIComponent(name.input.value)}`,
    body: () => ({ arms: { [control.input.value]: control.input.value, [other.input.value]: other.input.value }, control: control.input.value, percentage: Number(percentage.input.value) }),
  });
  if (answer) followComparisons(answer.revision, { anew: true });
};

function nothing() {
  return { node: h("li", { class: "empty" }, h("p", {}, "Nothing climbs and nothing is compared."), h("p", { class: "hint" }, "A rollout begins with ", h("code", {}, "intentstream rollout start"), ".")) };
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
  const conclude = () => {
    const arm = choice("Who is everyone's", [["", "the winner, if the evidence names one"], ...Object.entries(now.strategies).map(([name, strategy]) => [name, `${name}${name === strategy ? "" : `, which is ${strategy}`}, whatever the evidence says`])]);
    return h("button", { type: "button", class: "quiet", onclick: async () => {
      const body = () => (arm.input.value ? { arm: arm.input.value, anyway: true } : {});
      const answer = await makeChange({ title: `Conclude ${now.flag}?`, text: "From then on everyone gets one route, and nothing is compared.", verb: "Conclude", fields: [arm], method: "POST", path: `${path}/conclude`, etag: `"${now.revision}"`, body });
      if (answer) followComparisons(answer.revision, { anew: true });
    } }, "Conclude");
  };
  const update = (each) => {
    now = each;
    const stands = each.rollout?.state ?? each.experiment.state ?? (each.experiment.winner ? "concluded" : "running");
    condition.update(LEVELS[stands] ?? "idle", `${each.kind}, ${stands.replace("_", " ")}`);
    if (each.experiment?.winner) say(where, `Everyone has ${each.experiment.winner}, which is ${each.strategies[each.experiment.winner]}.`);
    else say(where, each.kind === "rollout" ? `${each.percentage} % of users have it.` : `${each.percentage} % of users take part: ${Object.entries(each.strategies).map(([name, strategy]) => `${name} is ${strategy}`).join(", ")}.`);
    say(who, `${each.changed_by}, ${ago(each.changed_at)}: ${each.reason}`);
    const buttons = [];
    if (each.kind === "rollout" && stands === "running") buttons.push(act("pause", `Pause the rollout of ${each.flag}?`, "It stays where it is until somebody goes on."));
    if (each.kind === "rollout" && stands === "paused") buttons.push(act("resume", `Resume the rollout of ${each.flag}?`, "Evidence begins anew."));
    if (each.kind === "rollout" && ["running", "paused"].includes(stands)) buttons.push(act("abort", `Abort the rollout of ${each.flag}?`, "It is taken from everyone whom chance gave it.", true));
    if (each.kind === "experiment" && stands === "running") buttons.push(conclude());
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
  return [h("p", {}, `${each.assessment.verdict}: ${each.assessment.reason}`), h("ul", {}, ...arms), h("p", { class: "hint" }, ahead(each))];
}

/** How long it is likely to take, whether users arrive as designed, and how old what was read may be. */
function ahead({ outlook, assessment, behind_seconds: behind }) {
  const needed = outlook.utterances_needed === null ? "Nothing is known of the control yet." : `${count(outlook.utterances_seen)} of about ${count(outlook.utterances_needed)} utterances that it takes to find one a ${Math.round(outlook.effect * 100)} % better.`;
  const left = outlook.seconds_left ? ` ${lasting(outlook.seconds_left)} at this pace.` : "";
  return `${needed}${left} Users arrive as designed: p ${assessment.sample_ratio_p.toPrecision(2)}. ${behind === null ? "Not all results were read." : `Read up to ${lasting(behind)} ago.`}`;
}
