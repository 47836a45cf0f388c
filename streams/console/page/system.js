// What the worker stands on: dependencies, release, the other workers; and all of it as a file.

import { credentials, refusal } from "./api.js";
import { $, h, keep, say, state } from "./dom.js";
import { lasting, plural, since, took } from "./format.js";
import { releasesPart, showReleases } from "./releases.js";

export function makeSystem() {
  const fault = h("p", { class: "fault", role: "alert" });
  const get = h("button", { type: "button" }, "Download a debug bundle");
  get.onclick = async () => {
    say(fault, "");
    try {
      const response = await fetch("/console/bundle.json", { headers: credentials(), cache: "no-store" });
      if (!response.ok) throw await refusal(response);
      const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition"))?.[1] ?? "intentstream.json";
      const link = h("a", { href: URL.createObjectURL(await response.blob()), download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    } catch (problem) {
      say(fault, problem.message);
    }
  };
  $("standing").append(
    h("h3", {}, "Dependencies"),
    h("ul", { id: "dependencies", class: "rows" }),
    ...releasesPart(),
    h("h3", {}, "Workers"),
    h("ul", { id: "workers", class: "rows" }),
    h("div", { class: "bundle" }, get, h("p", { class: "hint" }, "Settings with secrets masked, health, metrics and flags, as JSON. Nothing that anybody wrote is in it."), fault),
  );
}

export function showSystem(shot) {
  keep($("dependencies"), shot.dependencies, (each) => each.name, makeDependency);
  showReleases(shot);
  keep($("workers"), shot.workers, (each) => each.id, (first) => {
    const said = h("span", { class: "soft" });
    const node = h("li", { class: "line" }, h("b", {}, first.id), first.id === shot.worker_id ? h("span", { class: "tag" }, "this one") : null, said);
    return { node, update: (each) => say(said, `${plural(each.partitions, "partition")} · flags ${each.flags_revision} · since ${since(each.started_at)}`) };
  });
  say($("made"), `intentstream ${shot.version} · ${shot.worker_id} · up ${lasting(shot.at - shot.started_at)}`);
}

function makeDependency(first) {
  const condition = state("idle", "");
  const said = h("span", { class: "soft" });
  const why = h("p", { class: "hint" });
  const node = h("li", { class: "line" }, h("b", {}, first.name), condition.node, said, why);
  const update = (each) => {
    const well = each.status === "pass";
    condition.update(well ? "ok" : each.reason ? "fail" : "idle", well ? "answers" : each.reason ? `away since ${since(each.since)}` : "not asked yet");
    say(said, well ? [each.version && `version ${each.version}`, each.latency_seconds !== null && `in ${took(each.latency_seconds)}`, `since ${since(each.since)}`].filter(Boolean).join(" · ") : "");
    say(why, well ? "" : (each.reason ?? ""));
  };
  return { node, update };
}
