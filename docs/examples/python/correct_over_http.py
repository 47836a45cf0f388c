"""Says what an utterance's intent really is, to a worker over HTTP.

`python correct_over_http.py UTTERANCE_ID "could somebody phone me" talk_to_agent agent-3`
"""

from __future__ import annotations

import http.client
import json
import os
import sys

utterance_id, text, intent, person = sys.argv[1:]
correction = {"utterance_id": utterance_id, "text": text, "intent": intent, "person_id": person}
headers = {"Content-Type": "application/json"}
if token := os.environ.get("TOKEN"):  # with the scope feedback:write, where workers have tokens
    headers["Authorization"] = f"Bearer {token}"

worker = http.client.HTTPConnection(os.environ.get("WORKER", "localhost:8001"), timeout=10)
worker.request("POST", "/api/v1/feedback", json.dumps(correction), headers)
answer = worker.getresponse()
said = json.load(answer)
if answer.status != http.HTTPStatus.CREATED:
    sys.exit(f"{answer.status}: {said['detail']}")  # 400: mend it; 503: send it again after Retry-After
print(said["id"])
