// Reads the two documents and puts them on the page; opens what an address names, and finds what is typed.

import { $, h, say } from "/console/dom.js";
import { operationSections, typesSection } from "./operations.js";
import { topicSections } from "./topics.js";

const SCHEMAS = "/schemas/";

async function read(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

async function show() {
  const [events, http] = await Promise.all([read(`${SCHEMAS}asyncapi.json`), read("/openapi.json")]);
  const references = Object.values(events.components.messages).map((message) => message.payload.$ref).filter(Boolean);
  const schemas = Object.fromEntries(await Promise.all(references.map(async (each) => [each, await read(SCHEMAS + each.replace("./", ""))])));
  say($("version"), http.info.version);
  $("topics").append(...topicSections(events, schemas));
  $("http").append(...operationSections(http));
  $("types").append(typesSection(http));
  $("described").hidden = false;
  reveal();
}

/** Open what the address names, and what that stands in. */
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target || $("described").hidden) return;
  for (let node = target; node; node = node.parentElement?.closest("details")) if (node.tagName === "DETAILS") node.open = true;
  target.scrollIntoView();
}

/** Show only what has all the words. */
function seek() {
  const wanted = $("seek").value.toLowerCase().split(/\s+/).filter(Boolean);
  const has = (node) => wanted.every((word) => node.textContent.toLowerCase().includes(word));
  let count = 0;
  for (const part of document.querySelectorAll(".part")) {
    const whole = has(part.querySelector("header"));
    for (const each of part.querySelectorAll("details")) {
      each.hidden = !whole && !has(each);
      count += !each.hidden;
    }
    part.hidden = ![...part.querySelectorAll("details")].some((each) => !each.hidden);
  }
  say($("found"), wanted.length ? `${count} found` : "");
}

document.documentElement.dataset.theme = localStorage.getItem("intentstream-theme") ?? "auto";
addEventListener("hashchange", reveal);
$("seek").addEventListener("input", seek);
show().catch((fault) => $("fault").append(h("span", {}, `The documents did not come (${fault.message}). `), h("a", { href: "" }, "Try again")));
