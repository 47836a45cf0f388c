// The topics: what stands on each, who reads it and who writes it.

import { h } from "/console/dom.js";
import { described, placeOf, prose, table } from "./schema.js";

const named = (reference) => reference.split("/").pop();
const DAY_MS = 86_400_000;

/** Return a section a topic. `schemas` are the payloads' by the reference that names them. */
export function topicSections(document, schemas) {
  return Object.entries(document.channels).map(([name, channel]) => {
    const acts = Object.values(document.operations).filter((act) => named(act.channel.$ref) === name);
    const messages = Object.keys(channel.messages).map((each) => [each, document.components.messages[each]]);
    return h("section", { class: "part", "aria-label": channel.address },
      h("header", {}, h("h2", {}, channel.address), h("p", {}, ...prose(channel.description))),
      h("div", { class: "body" },
        h("dl", { class: "facts" }, ...facts(channel, acts)),
        ...messages.map(([id, message]) => messageDetails(id, message, schemas[message.payload.$ref])),
      ),
    );
  });
}

function facts({ bindings: { kafka } }, acts) {
  const kept = kafka.topicConfiguration["retention.ms"];
  const days = kept === -1 || kept === undefined ? null : `${Math.round(kept / DAY_MS)} days`;
  const policy = kafka.topicConfiguration["cleanup.policy"].join(", ");
  const said = [
    ["Partitions", String(kafka.partitions)],
    ["Kept", policy === "compact" ? "the last of each key" : days],
    ...acts.map((act) => [act.action === "send" ? "Workers write" : "Workers read", act.summary]),
  ];
  return said.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
}

function messageDetails(id, message, schema) {
  const scope = `event-${id}`;
  const headers = message.headers.properties;
  const must = new Set(message.headers.required ?? []);
  const parts = Object.entries(schema?.$defs ?? {});
  return h("details", { id: placeOf("event", id) },
    h("summary", {}, h("h3", {}, message.title), h("span", { class: "soft" }, message.name)),
    h("div", {},
      h("p", {}, ...prose(schema?.description ?? message.summary)),
      h("h4", {}, "Key"), h("p", {}, message.bindings.kafka.key.description),
      schema ? h("h4", {}, "Value") : null, schema ? described(schema, scope, `Fields of ${message.title}`) : null,
      ...parts.flatMap(([name, part]) => [h("h4", { id: placeOf(scope, name) }, name), part.description ? h("p", {}, ...prose(part.description)) : null, described(part, scope, `Fields of ${name}`)]),
      h("h4", {}, "Headers"), table(Object.entries(headers).map(([name, each]) => [name, each, must.has(name)]), scope, `Headers of ${message.title}`),
      ...(message.examples ?? []).flatMap(({ payload }) => [h("h4", {}, "Example"), h("pre", {}, JSON.stringify(payload, null, 2))]),
      schema ? h("p", {}, h("a", { href: `/schemas/${message.payload.$ref.replace("./", "")}` }, "JSON Schema")) : null,
    ),
  );
}
