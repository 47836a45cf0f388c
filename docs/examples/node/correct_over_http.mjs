// Says what an utterance's intent really is, to a worker over HTTP:
// `node correct_over_http.mjs UTTERANCE_ID "could somebody phone me" talk_to_agent agent-3`.

const [utteranceId, text, intent, person] = process.argv.slice(2);
const headers = { "Content-Type": "application/json" };
if (process.env.TOKEN) headers.Authorization = `Bearer ${process.env.TOKEN}`; // with the scope feedback:write

const answer = await fetch(`http://${process.env.WORKER ?? "localhost:8001"}/api/v1/feedback`, {
  method: "POST",
  headers,
  body: JSON.stringify({ utterance_id: utteranceId, text, intent, person_id: person }),
  signal: AbortSignal.timeout(10_000),
});
const said = await answer.json();
if (answer.status === 201) {
  console.log(said.id);
} else {
  console.error(`${answer.status}: ${said.detail}`); // 400: mend it; 503: send it again after Retry-After
  process.exitCode = 1;
}
