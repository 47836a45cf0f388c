// Prints every result, one a line, until Ctrl-C: `node consume.mjs`.

import kafkajs from "kafkajs";
import lz4 from "lz4js";

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;

// Workers compress with LZ4, which kafkajs has no codec for.
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async ({ buffer }) => Buffer.from(lz4.compress(buffer)),
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
});

const kafka = new Kafka({
  clientId: "consume",
  brokers: (process.env.KAFKA ?? "localhost:9092").split(","),
  logLevel: logLevel.ERROR,
});
const consumer = kafka.consumer({
  groupId: process.env.GROUP ?? "results-in-node",
  readUncommitted: false, // otherwise answers are seen that were taken back
});
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => consumer.disconnect());

await consumer.connect();
await consumer.subscribe({ topic: "intents.results.v1", fromBeginning: true });
await consumer.run({
  // Its offset is committed once this has returned; if it throws, the message comes again.
  eachMessage: async ({ message }) => {
    const result = JSON.parse(message.value.toString());
    const intent = result.intent ?? "out of scope"; // null is an answer, too
    console.log(result.utterance_id, intent, result.confidence.toFixed(2), result.tier);
  },
});
