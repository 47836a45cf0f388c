// Sends one utterance and prints its id, which its result will name: `node produce.mjs "where is my parcel?"`.

import { randomUUID } from "node:crypto";
import { Kafka, Partitioners, logLevel } from "kafkajs";

const kafka = new Kafka({
  clientId: "produce",
  brokers: (process.env.KAFKA ?? "localhost:9092").split(","),
  logLevel: logLevel.ERROR,
});
const producer = kafka.producer({
  idempotent: true, // what is sent again after an error stands there once
  maxInFlightRequests: 1, // which kafkajs needs for that
  createPartitioner: Partitioners.DefaultPartitioner, // as in Java: a key has the same partition, whoever sends
});

const utterance = {
  id: randomUUID(),
  text: process.argv[2],
  user_id: "user-7",
  conversation_id: "conversation-12",
};
await producer.connect();
try {
  await producer.send({
    topic: "intents.utterances.v1",
    messages: [{ key: utterance.conversation_id, value: JSON.stringify(utterance) }], // one key: answered in order
  });
  console.log(utterance.id);
} finally {
  await producer.disconnect();
}
