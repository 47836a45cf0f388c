// The flags: what each is, who made it so, and a hand on it.

import { access, ask, refused } from "./api.js";
import { makeChange } from "./changing.js";
import { $, h, keep, mark, say } from "./dom.js";
import { ago, plural, since } from "./format.js";

const ROOT = "/api/v1/feature-flags";
let shown = null;
let asking = false;
access.onchange(() => (shown = null));

/** Ask for the flags anew, if they are others than those shown. */
export async function followFlags(revision, { anew = false } = {}) {
  if (asking || (shown === revision && !anew)) return;
  asking = true;
  try {
    const [list] = await ask("GET", ROOT);
    shown = list.revision;
    showFlags(list);
  } catch (problem) {
    if (refused(problem)) shown = revision; // asking again would change nothing
    say($("flags-hint"), `The flags cannot be shown: ${problem.message}`);
  } finally {
    asking = false;
  }
}

function showFlags(list) {
  say($("flags-hint"), `Every change says who and why, and is in force everywhere within a second. Revision ${list.revision}.`);
  keep($("flag-list"), list.flags.filter((flag) => flag.kind === "flag" && !flag.deleted), (flag) => flag.name, makeRow);
}

/** What keeps a flag's share from being set by hand. */
function bound(flag) {
  if (flag.experiment?.state === "running") return "an experiment runs";
  if (flag.rollout?.state === "running") return "it climbs by itself";
  return null;
}

function author(flag) {
  const stands = flag.overridden === null ? "" : `This worker's environment says ${flag.overridden ? "on" : "off"}, which stands above. `;
  const killed = flag.killed ? "Killed: off for everyone. " : "";
  if (!flag.revision) return `${stands}${killed}`.trim();
  return `${stands}${killed}${flag.changed_by}, ${ago(flag.changed_at)}${flag.reason ? `: ${flag.reason}` : ""}`;
}

function makeRow(first) {
  let flag = first;
  const label = `flag-${first.name}`;
  const toggle = h("button", { type: "button", role: "switch", class: "switch", "aria-labelledby": label }, h("i", { "aria-hidden": "true" }), h("span"));
  const range = h("input", { type: "range", min: 0, max: 100, step: 1, "aria-label": `Share of users with ${first.name}, in percent` });
  const percent = h("output", { class: "percent" });
  const what = h("p", { class: "hint" });
  const who = h("p", { class: "by" });
  const news = h("p", { class: "news", role: "status" });
  const past = h("div", { class: "history", hidden: true, id: `${label}-history` });
  const open = h("button", { type: "button", class: "quiet", "aria-expanded": "false", "aria-controls": past.id }, "History");
  const node = h(
    "li",
    { class: "flag" },
    toggle,
    h("div", { class: "flag-name" }, h("h3", { id: label }, first.name), what, who, news),
    h("div", { class: "flag-share" }, range, percent),
    open,
    past,
  );

  const change = async (fields, words) => {
    const answer = await makeChange({ ...words, method: "PATCH", path: `${ROOT}/${flag.name}?wait=all&timeout_seconds=5`, etag: `"${flag.revision}"`, body: fields });
    update(answer ?? flag);
    if (!answer) return;
    const { workers, missing } = answer.applied;
    say(news, `Revision ${answer.revision}: in force with ${plural(workers, "worker")}${missing.length ? `; not yet with ${missing.join(", ")}` : ""}.`);
    if (!past.hidden) showPast();
    followFlags(answer.revision, { anew: true });
  };
  toggle.onclick = () => {
    const on = !flag.enabled;
    change({ enabled: on }, { title: `Turn ${flag.name} ${on ? "on" : "off"}?`, text: flag.description || "For everyone whom no rule says otherwise of.", verb: on ? "Turn it on" : "Turn it off", danger: !on });
  };
  const draw = (share) => {
    range.style.setProperty("--filled", `${share}%`);
    say(percent, flag.enabled && !flag.killed ? `${share} %` : "off");
  };
  range.oninput = () => draw(range.value);
  range.onchange = () => {
    const to = Number(range.value);
    if (to === flag.rollout_percentage) return;
    change({ rollout_percentage: to }, { title: `${flag.name} for ${to} % of users?`, text: `It is ${flag.rollout_percentage} % now. Who has it is decided by chance, and stays.`, verb: `Set ${to} %` });
  };
  const showPast = async () => {
    try {
      const [{ changes }] = await ask("GET", `${ROOT}/${flag.name}/history?limit=10`);
      past.replaceChildren(changes.length ? h("ol", {}, ...changes.map(line)) : h("p", { class: "hint" }, "Nobody has ever changed it."));
    } catch (problem) {
      past.replaceChildren(h("p", { class: "fault" }, problem.message));
    }
  };
  open.onclick = () => {
    past.hidden = !past.hidden;
    mark(open, "aria-expanded", !past.hidden);
    if (!past.hidden) showPast();
  };
  const update = (now) => {
    flag = now;
    const on = flag.enabled && !flag.killed;
    mark(toggle, "aria-checked", on);
    say(toggle.lastElementChild, on ? "On" : "Off");
    toggle.disabled = flag.killed;
    say(what, flag.description);
    say(who, author(flag));
    const tied = bound(flag);
    range.disabled = tied !== null || !on;
    if (document.activeElement !== range || !$("dialog").open) range.value = flag.rollout_percentage;
    draw(flag.rollout_percentage);
    node.classList.toggle("off", !on);
    mark(range, "title", tied);
  };
  return { node, update };
}

function line(change) {
  const is = change.deleted ? "deleted" : change.killed ? "killed" : change.enabled ? `on, ${change.rollout_percentage ?? 100} %` : "off";
  return h("li", {}, h("time", { datetime: change.changed_at }, since(change.changed_at)), h("b", {}, is), h("span", {}, change.changed_by), h("span", {}, change.reason || "no reason given"));
}
