// The chain, from the cache to the last tier: who can answer, who does, and how fast.

import { $, h, keep, mark, say, state } from "./dom.js";
import { count, share, since, took } from "./format.js";
import { spark } from "./spark.js";

const paces = new Map(); // by tier: points of its p95

function standing(tier) {
  if (tier.missing !== null) return ["off", "not there"];
  if (tier.breaker === "half_open") return ["warn", "being tried again"];
  if (tier.breaker !== "closed") return ["fail", `out since ${tier.breaker_since ? since(tier.breaker_since) : "a while"}`];
  if (tier.failing > 0.05) return ["warn", `fails at ${share(tier.failing)} %`];
  return tier.p95_seconds === null ? ["idle", "ready, not asked"] : ["ok", "answering"];
}

export function showChain(shot) {
  for (const tier of shot.tiers) {
    const points = paces.get(tier.name) ?? [];
    points.push([shot.at, tier.p95_seconds]);
    paces.set(tier.name, points.slice(-120));
  }
  const inside = shot.tiers.filter((tier) => tier.place !== null);
  const links = [...(shot.cache.length ? [{ name: "cache", cache: shot.cache }] : []), ...inside];
  keep($("tiers"), links, (link) => link.name, (link) => (link.cache ? cacheCard() : tierCard(link)));
  const outside = shot.tiers.filter((tier) => tier.place === null);
  const said = outside.map((tier) => `${tier.name}${tier.missing ? ` (${tier.missing})` : ""}`);
  say($("spare"), said.length ? `Left out by the flags: ${said.join(", ")}.` : "");
}

function card(name, what) {
  const figure = h("b");
  const sign = h("small");
  const bar = h("i");
  const note = h("p", { class: "note" });
  const condition = state("idle", "");
  const chart = spark(32);
  const node = h(
    "li",
    { class: "tier" },
    h("div", { class: "tier-head" }, h("h3", {}, name), condition.node),
    h("p", { class: "figure" }, figure, sign, h("span", {}, ` ${what}`)),
    h("div", { class: "meter", "aria-hidden": "true" }, bar),
    note,
    chart.node,
  );
  const draw = (part) => {
    say(figure, share(part));
    say(sign, part === null ? "" : "%");
    bar.style.inlineSize = `${(part ?? 0) * 100}%`;
  };
  return { node, draw, note, condition, chart };
}

function tierCard(first) {
  const made = card(first.name, "of answers");
  const update = (tier) => {
    const [level, word] = standing(tier);
    made.condition.update(level, word);
    made.draw(tier.share);
    say(made.note, tier.p95_seconds === null ? (tier.missing ?? "no call in the last minute") : `${took(tier.p50_seconds)} a batch, ${took(tier.p95_seconds)} at p95`);
    mark(made.node, "data-level", level);
    const points = paces.get(tier.name);
    made.chart.update(points, points.at(-1)[0]);
  };
  return { node: made.node, update };
}

function cacheCard() {
  const made = card("cache", "remembered");
  made.chart.node.remove();
  const update = ({ cache }) => {
    // A text that the process does not remember is looked for in Redis: the first layer is asked for all.
    const asked = Math.max(...cache.map((layer) => layer.asked));
    const found = cache.reduce((sum, layer) => sum + layer.found, 0);
    made.condition.update(asked ? "ok" : "idle", asked ? "answering" : "not asked");
    made.draw(asked ? found / asked : null);
    const layers = cache.map((layer) => `${layer.layer} ${count(layer.found)} of ${count(layer.asked)}`);
    say(made.note, asked ? `found: ${layers.join(", ")}` : "no question in the last minute");
  };
  return { node: made.node, update };
}
