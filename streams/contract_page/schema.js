// Shows JSON Schemas as tables of fields, and types as words that lead to where they are described.

import { h } from "/console/dom.js";

/** Return a sentence with its `code` as code. */
export const prose = (text = "") => text.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));

/** Return where a type is described on this page. */
export const placeOf = (scope, name) => `${scope}-${name}`;

const named = (reference) => reference.split("/").pop();
const joined = (parts, word) => parts.flatMap((part, index) => (index ? [word, ...part] : part));

/** Return in words, and links, what a value may be. */
export function words(schema, scope) {
  if (schema === true || schema === undefined) return ["anything"];
  if (schema === false) return ["nothing"];
  if (schema.$ref) return [h("a", { href: `#${placeOf(scope, named(schema.$ref))}` }, named(schema.$ref))];
  if ("const" in schema) return [h("code", {}, JSON.stringify(schema.const))];
  if (schema.enum) return joined(schema.enum.map((each) => [h("code", {}, JSON.stringify(each))]), ", ");
  const several = schema.anyOf ?? schema.oneOf;
  if (several) return joined(several.map((each) => words(each, scope)), " or ");
  if (schema.prefixItems) return ["list of ", ...joined(schema.prefixItems.map((each) => words(each, scope)), ", ")];
  if (schema.type === "array") return ["list of ", ...words(schema.items, scope)];
  if (schema.type === "object" && typeof schema.additionalProperties === "object") return ["object, each ", ...words(schema.additionalProperties, scope)];
  return [[schema.type ?? "anything"].flat().join(" or ")];
}

const between = (low, high, unit) => {
  if (low === undefined && high === undefined) return null;
  if (high === undefined) return `at least ${low}${unit}`;
  return low === undefined ? `at most ${high}${unit}` : `${low} to ${high}${unit}`;
};

/** Return what limits a value, in words. */
function limits(schema) {
  const inner = schema.anyOf?.find((each) => each.type !== "null") ?? schema;
  return [
    between(inner.minLength, inner.maxLength, " characters"),
    between(inner.minimum, inner.maximum, ""),
    between(inner.minItems, inner.maxItems, " entries"),
    between(inner.minProperties, inner.maxProperties, " entries"),
    inner.format,
    inner.pattern && `matches ${inner.pattern}`,
    "default" in schema && schema.default !== null && `default ${JSON.stringify(schema.default)}`,
  ].filter(Boolean);
}

/** Return a table of [name, schema, whether it must be there, description]. */
export function table(rows, scope, caption) {
  const line = ([name, schema, must, description]) => h("tr", {},
    h("th", { scope: "row" }, name, must ? h("span", { class: "must" }, "required") : null),
    h("td", {}, ...words(schema, scope), limits(schema).length ? h("div", { class: "hint" }, limits(schema).join("; ")) : null),
    h("td", {}, ...prose(description ?? schema.description)),
  );
  const head = ["Name", "Type", "Meaning"].map((word) => h("th", { scope: "col" }, word));
  return h("table", { "aria-label": caption }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows.map(line)));
}

/** Return what describes a schema: the table of an object, else words. */
export function described(schema, scope, caption) {
  const properties = Object.entries(schema.properties ?? {});
  if (properties.length) {
    const must = new Set(schema.required ?? []);
    return table(properties.map(([name, each]) => [name, each, must.has(name)]), scope, caption);
  }
  return h("p", {}, ...words(schema, scope), limits(schema).length ? h("span", { class: "soft" }, ` (${limits(schema).join("; ")})`) : null);
}
