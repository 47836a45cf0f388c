// The last results, without what anybody wrote.

import { $, h, keep, say } from "./dom.js";
import { share, time, took } from "./format.js";

let held = false;

export function makeRecent() {
  const rows = h("tbody", { id: "result-rows" });
  $("results").append(
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of results" },
      h("table", {}, h("thead", {}, h("tr", {}, ...["At", "Intent", "Sure", "Way", "Took", "Partition/offset"].map((name, index) => h("th", { scope: "col", class: [0, 2, 4].includes(index) ? "number" : index === 5 ? "number wide" : null }, name)))), rows),
    ),
    h("p", { id: "no-results", class: "empty" }, "No result yet."),
  );
  $("hold").onclick = () => {
    held = !held;
    $("hold").setAttribute("aria-pressed", held);
    say($("hold"), held ? "Go on" : "Pause");
  };
}

export function showRecent(results) {
  if (held) return;
  $("no-results").hidden = results.length > 0;
  $("results").firstElementChild.hidden = results.length === 0;
  keep($("result-rows"), results, (result) => `${result.at} ${result.place} ${result.confidence} ${result.intent}`, makeRow);
}

function makeRow(result) {
  const tried = result.tried.map((turn) => turn.tier);
  const way = tried.length && !result.cached ? tried.join(" → ") : result.tier;
  return {
    node: h(
      "tr",
      {},
      h("td", { class: "number" }, time(result.at)),
      h("td", {}, result.intent === null ? h("span", { class: "soft" }, "out of scope") : result.intent),
      h("td", { class: "number" }, `${share(result.confidence)} %`),
      h("td", { class: "soft" }, way, result.cached ? h("span", { class: "tag" }, "cached") : null, result.degraded ? h("span", { class: "tag warn" }, "degraded") : null),
      h("td", { class: "number" }, took(result.seconds)),
      h("td", { class: "number soft wide" }, result.place ?? "over HTTP"),
    ),
  };
}
