// Makes and keeps elements. Text is only ever set as text: nothing that anybody wrote becomes markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

export const h = (tag, props = {}, ...children) => fill(document.createElement(tag), props, children);
export const svg = (tag, props = {}, ...children) => fill(document.createElementNS(SVG, tag), props, children);
export const $ = (id) => document.getElementById(id);

/** Set an element's text, if it is another. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set an attribute, if it is another; null takes it away. */
export function mark(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** Have a parent's children be the items', in their order; who stays is updated and keeps the focus. */
export function keep(parent, items, key, make) {
  const kept = (parent.kept ??= new Map());
  const wanted = new Set(items.map(key));
  for (const [name, one] of kept) {
    if (!wanted.has(name)) {
      one.node.remove();
      kept.delete(name);
    }
  }
  items.forEach((item, index) => {
    const name = key(item);
    if (!kept.has(name)) kept.set(name, make(item));
    const one = kept.get(name);
    if (parent.children[index] !== one.node) parent.insertBefore(one.node, parent.children[index] ?? null);
    one.update?.(item);
  });
}

/** A state: a shape, which colour-blind people see, and a word. */
export function state(level, word) {
  const text = h("span", {}, word);
  const node = h("span", { class: "state", "data-level": level }, h("i", { "aria-hidden": "true" }), text);
  return {
    node,
    update(now, words) {
      mark(node, "data-level", now);
      say(text, words);
    },
  };
}
