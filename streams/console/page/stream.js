// The stream over two minutes, and where utterances wait.

import { $, h, keep, mark, say } from "./dom.js";
import { count, plural, rate, span } from "./format.js";
import { spark } from "./spark.js";

const points = [];
const per = (number) => [rate(number), number === null ? "" : "/s"];
const CHARTS = [
  { key: "in", label: "Coming in", read: (point) => point[1], show: per, least: 1 },
  { key: "out", label: "Answered", read: (point) => point[2], show: per, least: 1 },
  { key: "p95", label: "End to end, p95", read: (point) => point[3], show: span, least: 0.02 },
  { key: "lag", label: "Waiting", read: (point) => point[4], show: (number) => [count(number), ""], least: 10 },
];

/** Take the points of before this page was opened. */
export function rememberStream(history) {
  points.splice(0, points.length, ...history);
}

export function showStream(shot) {
  const rates = shot.rates;
  points.push([shot.at, rates.in_per_second, rates.answered_per_second, rates.p95_seconds, rates.lag]);
  while (points.length > 150) points.shift();
  keep($("charts"), CHARTS, (chart) => chart.key, makeChart);
  for (const chart of CHARTS) $("charts").kept.get(chart.key).draw(chart, shot.at);
  showLag(shot.lag);
}

function makeChart(chart) {
  const figure = h("b");
  const unit = h("small");
  const line = spark();
  const node = h("div", { class: "chart" }, h("h3", {}, chart.label), h("p", { class: "figure" }, figure, unit), line.node);
  const draw = ({ read, show, least }, now) => {
    const [number, of] = show(read(points.at(-1)));
    say(figure, number);
    say(unit, of);
    line.update(points.map((point) => [point[0], read(point)]), now, least);
  };
  return { node, draw };
}

function showLag(lag) {
  const partitions = Object.entries(lag);
  const most = Math.max(100, ...partitions.map(([, messages]) => messages));
  const total = partitions.reduce((sum, [, messages]) => sum + messages, 0);
  const box = $("lag");
  if (!box.kept) {
    box.title_ = h("h3", {}, "Waiting by partition");
    box.said = h("p", { class: "hint" });
    box.list = h("ul", { class: "partitions" });
    box.append(box.title_, box.list, box.said);
    box.kept = true;
  }
  say(box.said, partitions.length ? (total ? "" : `Nothing waits in any of ${plural(partitions.length, "partition")}.`) : "This worker has no partitions now.");
  keep(box.list, partitions, ([partition]) => partition, ([partition]) => {
    const bar = h("i", { "aria-hidden": "true" });
    const number = h("b");
    const node = h("li", {}, h("span", { class: "column", "aria-hidden": "true" }, bar), number, h("small", {}, h("span", { class: "aloud" }, "in partition "), partition));
    const update = ([, messages]) => {
      bar.style.blockSize = `${(messages / most) * 100}%`;
      say(number, count(messages));
      mark(node, "data-waits", messages > 0);
    };
    return { node, update };
  });
}
