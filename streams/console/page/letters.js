// Dead letters by kind of fault, and how to send them again.

import { $, h, keep, say } from "./dom.js";
import { count } from "./format.js";

export function makeLetters() {
  $("dead").append(
    h("p", { id: "no-letters", class: "empty" }, "None since this worker started."),
    h("ul", { id: "letter-list", class: "rows" }),
    h("p", { id: "letter-help", class: "hint" }, "Look at them with ", h("code", {}, "intentstream deadletter list"), ", and send them again with ", h("code", {}, "intentstream deadletter replay --dry-run"), "."),
  );
}

export function showLetters(letters) {
  const kinds = Object.entries(letters).filter(([, number]) => number > 0);
  $("no-letters").hidden = kinds.length > 0;
  $("letter-help").hidden = !kinds.length;
  keep($("letter-list"), kinds, ([code]) => code, ([code]) => {
    const number = h("b", { class: "big" });
    const node = h("li", { class: "letter" }, number, h("div", {}, h("h3", {}, code), h("p", { class: "hint" }, h("code", {}, `intentstream deadletter replay --code ${code}`))));
    return { node, update: ([, now]) => say(number, count(now)) };
  });
}
