// The HTTP operations: what may be sent, and every answer that may come.

import { h } from "/console/dom.js";
import { described, placeOf, prose, table, words } from "./schema.js";

const SCOPE = "type";

/** Return a section a tag. */
export function operationSections(document) {
  const byTag = new Map();
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags[0];
      byTag.set(tag, [...(byTag.get(tag) ?? []), operationDetails(method, path, operation)]);
    }
  }
  return [...byTag].map(([tag, operations]) => h("section", { class: "part", "aria-label": `${tag} over HTTP` },
    h("header", {}, h("h2", {}, tag), h("p", {}, "Over HTTP")), h("div", { class: "body" }, ...operations)));
}

/** Return the section of the types that operations name. */
export const typesSection = (document) => h("section", { class: "part", "aria-label": "Types" },
  h("header", {}, h("h2", {}, "Types"), h("p", {}, "What HTTP operations take and answer.")),
  h("div", { class: "body" }, ...Object.entries(document.components.schemas).map(([name, schema]) => h("details", { id: placeOf(SCOPE, name) },
    h("summary", {}, h("h3", {}, name)),
    h("div", {}, schema.description ? h("p", {}, ...prose(schema.description)) : null, described(schema, SCOPE, `Fields of ${name}`)),
  ))),
);

function operationDetails(method, path, operation) {
  const parameters = operation.parameters ?? [];
  const bodies = Object.entries(operation.requestBody?.content ?? {});
  const scopes = [...new Set((operation.security ?? []).flatMap((each) => Object.values(each).flat()))];
  return h("details", { id: placeOf("operation", operation.operationId) },
    h("summary", {}, h("span", { class: "method" }, method.toUpperCase()), h("h3", {}, path), h("span", { class: "soft" }, ...prose(operation.summary))),
    h("div", {},
      scopes.length ? h("p", {}, "Where there are tokens, one with the scope ", ...scopes.map((scope) => h("code", {}, scope)), ".") : null,
      parameters.length ? h("h4", {}, "Parameters") : null,
      parameters.length ? table(parameters.map((each) => [each.name, each.schema, each.required, `${each.description ?? ""} (${each.in})`]), SCOPE, `Parameters of ${operation.operationId}`) : null,
      bodies.length ? h("h4", {}, "Body") : null,
      ...bodies.map(([type, { schema }]) => h("p", {}, h("code", {}, type), " ", ...words(schema, SCOPE))),
      h("h4", {}, "Answers"), answers(operation),
    ),
  );
}

function answers({ operationId, responses }) {
  const line = ([status, answer]) => {
    const content = Object.entries(answer.content ?? {});
    return h("tr", {},
      h("th", { scope: "row" }, status),
      h("td", {}, ...content.flatMap(([, { schema }]) => words(schema, SCOPE))),
      h("td", {}, ...prose(answer.description), content.length ? h("div", { class: "hint" }, content.map(([type]) => type).join(", ")) : null),
    );
  };
  const head = ["Status", "Type", "Meaning"].map((word) => h("th", { scope: "col" }, word));
  return h("table", { "aria-label": `Answers of ${operationId}` }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...Object.entries(responses).map(line)));
}
