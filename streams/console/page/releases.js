// Which releases were pushed and which serves; to have another served, and to take that back.

import { ask, refused } from "./api.js";
import { makeChange } from "./changing.js";
import { $, h, keep, say } from "./dom.js";
import { since } from "./format.js";

const RELEASES = "/api/v1/models";
const FEW = 5;
const TRIED = { shadow: "tried in its shadow", rollout: "rolled out to some" };
let shown = null; // what served when the list was asked for

export function releasesPart() {
  return [
    h("h3", {}, "Release"),
    h("p", { id: "release" }),
    h("ul", { id: "behind", class: "rows" }),
    h("ul", { id: "releases", class: "rows" }),
    h("p", { id: "releases-news", class: "news", role: "status" }),
  ];
}

export function showReleases(shot) {
  say($("release"), shot.release ? `${shot.release} serves.` : "Nothing serves yet.");
  keep($("behind"), Object.entries(shot.releases_behind), ([model]) => model, ([model]) => {
    const why = h("p", { class: "hint" });
    return { node: h("li", {}, h("div", {}, h("b", {}, model), why)), update: ([, reason]) => say(why, reason) };
  });
  if (shown === shot.release) return;
  shown = shot.release;
  look();
}

async function look() {
  try {
    const [list] = await ask("GET", RELEASES);
    const rows = list.releases.slice(0, FEW).map((each) => ({
      ...each,
      back: each.serving ? (list.previous[each.model] ?? null) : null,
      beside: each.serving ? (list.releases.find((other) => other.model === each.model && other.trial)?.release ?? null) : null,
    }));
    keep($("releases"), rows, (each) => `${each.model} ${each.release}`, makeRow);
    say($("releases-news"), "");
  } catch (problem) {
    if (refused(problem)) return; // who may not see them misses nothing
    shown = null;
    say($("releases-news"), problem.message);
  }
}

function makeRow(first) {
  const tag = h("span", { class: "tag" }, "serves");
  const said = h("p", { class: "hint" });
  const act = h("button", { type: "button", class: "quiet" });
  const node = h("li", { class: "pushed" }, h("b", {}, first.model), h("div", {}, h("code", {}, first.release), tag, said), act);
  const update = (each) => {
    tag.hidden = !each.serving && !each.trial;
    say(tag, each.serving ? "serves" : TRIED[each.trial] ?? "");
    say(said, [each.changed_by && `by ${each.changed_by}`, since(each.released_at), each.reason].filter(Boolean).join(" · "));
    act.hidden = each.serving && !each.back && !each.beside;
    say(act, each.beside ? "End trial" : each.serving ? "Roll back" : "Promote");
    const back = each.beside ? `End the trial of ${each.model} ${each.beside}` : `Roll ${each.model} back to ${each.back}`;
    act.setAttribute("aria-label", each.serving ? back : `Promote ${each.model} ${each.release}`);
    act.onclick = () => change(each);
  };
  return { node, update };
}

async function change({ model, release, serving, back, beside }) {
  const fetched = `Every worker fetches it, verifies it and warms it before it answers; ${serving ? release : "what serves now"} answers until then.`;
  const done = await makeChange({
    title: beside ? `Stop trying ${beside}?` : serving ? `Serve ${back} again?` : `Serve ${release}?`,
    text: beside ? `${release} goes on serving everybody.` : fetched,
    verb: beside ? "End trial" : serving ? "Roll back" : "Promote",
    danger: serving,
    method: "POST",
    path: `${RELEASES}/${model}/${serving ? "rollback" : "promote"}`,
    body: serving ? {} : { release },
  });
  if (!done) return;
  if (done.trial) say($("releases-news"), `${done.model} ${done.release} is not tried any more.`);
  else say($("releases-news"), done.left_out ? `distilbert ${done.left_out} tells other intents apart, and waits until one is trained for these.` : `${done.model} ${done.release} is to serve.`);
  setTimeout(look, 2_000);
}
