// Which releases were pushed and which serves; to have another served, and to take that back.

import { ask, refused } from "./api.js";
import { makeChange } from "./changing.js";
import { $, h, keep, say } from "./dom.js";
import { since } from "./format.js";

const RELEASES = "/api/v1/models";
const FEW = 5;
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
    const rows = list.releases.slice(0, FEW).map((each) => ({ ...each, back: each.serving ? (list.previous[each.model] ?? null) : null }));
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
    tag.hidden = !each.serving;
    say(said, [each.changed_by && `by ${each.changed_by}`, since(each.released_at), each.reason].filter(Boolean).join(" · "));
    act.hidden = each.serving && !each.back;
    say(act, each.serving ? "Roll back" : "Promote");
    act.setAttribute("aria-label", each.serving ? `Roll ${each.model} back to ${each.back}` : `Promote ${each.model} ${each.release}`);
    act.onclick = () => change(each);
  };
  return { node, update };
}

async function change({ model, release, serving, back }) {
  const done = await makeChange({
    title: serving ? `Serve ${back} again?` : `Serve ${release}?`,
    text: `Every worker fetches it, verifies it and warms it before it answers; ${serving ? release : "what serves now"} answers until then.`,
    verb: serving ? "Roll back" : "Promote",
    danger: serving,
    method: "POST",
    path: `${RELEASES}/${model}/${serving ? "rollback" : "promote"}`,
    body: serving ? {} : { release },
  });
  if (!done) return;
  say($("releases-news"), done.left_out ? `distilbert ${done.left_out} tells other intents apart, and waits until one is trained for these.` : `${done.model} ${done.release} is to serve.`);
  setTimeout(look, 2_000);
}
