"""Real utterances through the command line and back through a client that is not ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from infra.embedded.server import EmbeddedServer
    from tests.drills.conftest import NewWorker, Show
    from tests.kit.ledger import Ledger

pytestmark = pytest.mark.drill

COUNT = 20_000
CONVERSATION = 7


@pytest.fixture
def clinc150(data_folder: Path, tmp_path: Path) -> Path:
    """CLINC150's utterances, with ids and conversations, as a file to produce from."""
    sources = [data_folder / "clinc150" / f"{name}.jsonl" for name in ("test", "val", "train")]
    texts = [json.loads(line)["text"] for source in sources for line in source.read_text().splitlines()]
    utterances = [
        {"text": text, "id": str(number), "conversation_id": f"conversation-{number // CONVERSATION}"}
        for number, text in enumerate(texts[:COUNT])
    ]
    file = tmp_path / "clinc150.jsonl"
    file.write_text("".join(f"{json.dumps(utterance)}\n" for utterance in utterances))
    return file


def test_every_utterance_of_clinc150_has_one_result_on_its_partition_in_order_of_its_key(
    broker: EmbeddedServer, ledger: Ledger, new_worker: NewWorker, clinc150: Path, show: Show
) -> None:
    begun = time.monotonic()
    new_worker()
    report = produce(broker, clinc150)
    assert (report["delivered"], report["bad_lines"]) == (COUNT, 0)
    ledger.wait_for_answers(COUNT, seconds=180)
    seconds = time.monotonic() - begun

    account = ledger.account()
    account.check(COUNT)
    results = [json.loads(result.value() or b"") for result in account.results.values()]
    assert sorted(int(result["utterance_id"]) for result in results) == list(range(COUNT))
    last: dict[bytes, int] = {}
    for result in ledger.results_so_far():
        key, number = result.key() or b"", int(json.loads(result.value() or b"")["utterance_id"])
        assert key == f"conversation-{number // CONVERSATION}".encode()
        assert number > last.get(key, -1)
        last[key] = number
    tiers = Counter(result["tier"] for result in results)
    show(f"{COUNT} utterances of CLINC150 in {seconds:.1f} s, the worker's start included: {account}; {dict(tiers)}")


def produce(broker: EmbeddedServer, file: Path) -> dict[str, int]:
    """Run `intentstream produce`, and return its report."""
    command = [sys.executable, "-m", "infra.cli.main", "produce", str(file), "--json"]
    environment = os.environ | {"INTENTSTREAM_KAFKA__BOOTSTRAP_SERVERS": broker.endpoint}
    produced = subprocess.run(command, env=environment, check=True, capture_output=True)
    report: dict[str, int] = json.loads(produced.stdout)
    return report
