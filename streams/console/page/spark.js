// Small charts: the shape of the last two minutes, and nothing to read off. The number beside it is the number.

import { mark, svg } from "./dom.js";

const WIDTH = 240;
const WINDOW = 120;

/** A line over time with a wash below; `update` takes points as [seconds of the epoch, value or null]. */
export function spark(height = 48) {
  const wash = svg("path", { class: "spark-wash" });
  const line = svg("path", { class: "spark-line" });
  const node = svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" },
    wash,
    line,
  );
  const update = (points, now, least = 0) => {
    const top = Math.max(least, ...points.map(([, value]) => value ?? 0)) * 1.15 || 1;
    const x = (at) => WIDTH * (1 - (now - at) / WINDOW);
    const y = (value) => height - 2 - (height - 8) * (value / top);
    let [drawn, washed, run] = ["", "", []];
    const close = () => {
      if (run.length > 1) {
        const path = run.map(([at, value]) => `${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
        drawn += `M${path}`;
        washed += `M${x(run[0][0]).toFixed(1)} ${height}L${path}L${x(run.at(-1)[0]).toFixed(1)} ${height}Z`;
      }
      run = [];
    };
    for (const [at, value] of points) {
      if (now - at > WINDOW) continue;
      if (value === null || (run.length && at - run.at(-1)[0] > 5)) close();
      if (value !== null) run.push([at, value]);
    }
    close();
    mark(line, "d", drawn);
    mark(wash, "d", washed);
  };
  return { node, update };
}
