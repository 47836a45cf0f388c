"""How long an NLI model takes for a text, by the number of intents: it takes a pass of its network for each.

Of the settings' model; or of one like MiniLM with weights of chance, which says how fast such a one is and no more.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

from infra.bench.report import Report, new_report
from models.catalogue import default_catalogue_path, load_catalogue
from models.nli import NliModel, hypotheses_of
from models.nli_pipeline import open_pipeline
from models.text import normalise
from models.torch_extra import require_torch
from models.weights import weights_folder
from schemas.zero_shot import ZeroShot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schemas.settings import Settings

INTENTS = (10, 50, 150)
TEXTS = 8
_SAMPLE = 97
"""Between two texts that are taken, so that they are of many intents."""

_LABELS = ("contradiction", "neutral", "entailment")
_UNTRAINED = "an untrained network of MiniLM's size: what it answers is chance, and only its speed means something"


def bench_nli(settings: Settings, texts: Sequence[str], *, rounds: int, say: Callable[[str], None]) -> Report:
    """Measure it, round after round.

    Args:
        settings: Name a model, or none; how many threads, and how many pairs in a pass.
        texts: What is classified; a few are taken.
        rounds: Of everything.
        say: Told what is being done.

    Raises:
        UnavailableError: torch or transformers is not installed, or there is no such model.
    """
    begun = time.time()
    said = [normalise(text) for text in islice(cycle(texts[::_SAMPLE]), TEXTS)]
    asked = settings.zero_shot
    say("opening the model")
    with tempfile.TemporaryDirectory() as folder:
        if asked.model is None:
            asked = ZeroShot(backend="nli", model=str(_write_untrained(Path(folder))), max_batch=asked.max_batch)
        pipeline = open_pipeline(asked, threads=settings.models.threads)
    told = hypotheses_of(load_catalogue(settings.models.catalogue or default_catalogue_path()), asked)[:-1]
    found: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        say(f"round {number} of {rounds}" if number else "warming up")
        for intents in INTENTS:
            # As many hypotheses: of an intent each, and of out-of-scope.
            model = NliModel(pipeline, list(islice(cycle(told), intents + 1)), max_batch=asked.max_batch)
            for name, seconds in _seconds(model, said).items():
                if number:
                    found[f"{name}_per_text_at_{intents}_intents"].append(1_000 * seconds / len(said))
    return new_report(
        "bench nli",
        begun=begun,
        settings={"texts": TEXTS, "rounds": rounds, "threads": settings.models.threads, "max_batch": asked.max_batch},
        measures=found,
        ratios={},
        notes=[
            f"Of {settings.zero_shot.model or _UNTRAINED}.",
            "One text a call; processor_ms: of all threads together.",
        ],
    )


def _seconds(model: NliModel, texts: Sequence[str]) -> dict[str, float]:
    """Return what one text after another takes, by the clock and of the processor's time."""
    begun, used = time.perf_counter(), time.process_time()
    for text in texts:
        model.predict([text])
    return {"ms": time.perf_counter() - begun, "processor_ms": time.process_time() - used}


def _write_untrained(folder: Path) -> Path:
    require_torch("Measuring an NLI model", "nli")
    from transformers import (  # noqa: PLC0415 - an optional extra
        BertConfig,
        BertForSequenceClassification,
        PreTrainedTokenizerFast,
    )

    tokens = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(weights_folder() / "tokenizer.json"), **tokens)
    tokenizer.save_pretrained(folder)
    labels = {"id2label": dict(enumerate(_LABELS)), "label2id": {label: id_ for id_, label in enumerate(_LABELS)}}
    config = BertConfig.from_pretrained(weights_folder(), **labels)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder
