// Says what an utterance's intent really is, on the feedback topic:
// `node correct.mjs UTTERANCE_ID "could somebody phone me" talk_to_agent agent-3`.

import { randomUUID } from "node:crypto";
import { Kafka, Partitioners, logLevel } from "kafkajs";

const kafka = new Kafka({
  clientId: "correct",
  brokers: (process.env.KAFKA ?? "localhost:9092").split(","),
  logLevel: logLevel.ERROR,
});
const producer = kafka.producer({
  idempotent: true,
  maxInFlightRequests: 1,
  createPartitioner: Partitioners.DefaultPartitioner,
});

const [utteranceId, text, intent, person] = process.argv.slice(2);
const correction = {
  utterance_id: utteranceId,
  text, // results do not repeat it, and nothing is learnt without it
  intent,
  person_id: person, // corrections count by distinct people
};
const headers = {
  ce_specversion: "1.0",
  ce_type: "intentstream.correction.v1", // confirmations and review requests stand on this topic, too
  ce_id: randomUUID(),
  ce_source: "/examples/node",
  "content-type": "application/json",
};
await producer.connect();
try {
  await producer.send({
    topic: "intents.feedback.v1",
    messages: [{ key: utteranceId, value: JSON.stringify(correction), headers }],
  });
} finally {
  await producer.disconnect();
}
