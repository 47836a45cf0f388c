"""`intentstream bench models` on a small folder: every number that is promised, from a real worker, too."""

from __future__ import annotations

import json
import subprocess
from itertools import product
from typing import TYPE_CHECKING

from tests.kit.command import COMMAND, command_environment

if TYPE_CHECKING:
    from pathlib import Path

SAID = {
    "refund": ("give me my money back", "i want a refund", "return what i paid"),
    "order_status": ("where is my parcel", "track my order", "when does my package come"),
    "greeting": ("hello there", "good morning", "hi how are you"),
}
BEFORE = ("", "please ", "excuse me ", "quickly ")
AFTER = ("", " today", " if you can", " thanks")


def write(file: Path, ways: list[tuple[str, str]]) -> None:
    said = [
        {"text": f"{before}{text}{after}", "intent": intent}
        for before, after in ways
        for intent, texts in SAID.items()
        for text in texts
    ]
    file.write_text("".join(json.dumps(each) + "\n" for each in said), "utf-8")


def test_it_measures_ours_beside_a_bare_loop_and_says_when_a_worker_answers(
    prepared_models: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    ways = list(product(BEFORE, AFTER))
    write(folder / "train.jsonl", ways[::2])
    write(folder / "test.jsonl", ways[1::2])
    done = subprocess.run(
        [*COMMAND, "bench", "models", "--data", str(folder), "--rounds", "1", "--no-peers", "--json"],
        capture_output=True,
        check=False,
        timeout=280,
        env=command_environment({"STATE_FOLDER": prepared_models}),
    )
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    assert report["report"] == "bench models"
    assert {
        "adaptive_utterances_per_second",
        "quality_utterances_per_second",
        "rules_utterances_per_second",
        "encoder_utterances_per_second",
        "bare_onnxruntime_utterances_per_second",
        "peak_memory_mb",
        "rules_ready_seconds",
        "all_tiers_ready_seconds",
    } <= report["measures"].keys()
    assert all(value > 0 for value in report["measures"].values())
    assert report["measures"]["encoder_cosine"] > 0.9
    assert report["measures"]["rules_ready_seconds"] <= report["measures"]["all_tiers_ready_seconds"]
    assert report["ratios"].keys() == {"encoder_vs_bare_onnxruntime"}
