"""Opens transformers' zero-shot pipeline on the model that the settings name, or says why it cannot serve.

torch and transformers are imported only here, and only when it is asked for.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safetensors import SafetensorError

from models.artefacts import sha256_of
from models.torch_extra import require_torch
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from models.nli import Pipeline
    from schemas.zero_shot import ZeroShot

_FILES = ("*.json", "*.model", "*.safetensors", "*.txt")
"""What is read of a model: configuration, weights and tokenizer. Nothing pickled, and no code, has such a name."""

_MOST_TOKENS = 512
"""Of a text and a hypothesis together; more is cut off the text. Longer ones than most models know positions for."""


class NliUnavailableError(UnavailableError):
    """The NLI model that the settings name cannot serve; the message says why and what to do."""


def nli_identity(asked: ZeroShot) -> str:
    """Return what tells the model from every other: its name and commit on the hub, or a digest of its folder."""
    if asked.revision:
        return f"{asked.model}@{asked.revision}"
    folder = Path(asked.model or "")
    files = sorted(file for pattern in _FILES for file in folder.glob(pattern) if file.is_file())
    content = "\n".join(f"{file.name} {sha256_of(file)}" for file in files)
    return hashlib.sha256(content.encode()).hexdigest()


def open_pipeline(asked: ZeroShot, *, threads: int) -> Pipeline:
    """Return the pipeline, on a GPU where torch finds one.

    Args:
        asked: Names the model.
        threads: Of torch in this process from here on.

    Raises:
        UnavailableError: torch or transformers is not installed.
        NliUnavailableError: There is no such model, or it tells nothing of entailment.
    """
    name = asked.model or ""
    if asked.revision is None:
        _check_folder(Path(name))
    require_torch("INTENTSTREAM_ZERO_SHOT__BACKEND=nli", "nli")
    import torch  # noqa: PLC0415 - an optional extra
    from transformers import pipeline  # noqa: PLC0415 - likewise
    from transformers.utils import logging  # noqa: PLC0415 - likewise

    logging.set_verbosity_error()  # what it would report, we refuse or know
    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    network, tokenizer = _load(Path(name) if asked.revision is None else _fetched(name, asked.revision))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    opened = pipeline("zero-shot-classification", model=network, tokenizer=tokenizer, device=device)
    if opened.entailment_id < 0:
        labels = ", ".join(map(str, network.config.label2id))
        raise NliUnavailableError(
            f"{name} was not trained to tell entailment: its labels are {labels}, and none begins with "
            "`entail`. Name a model fine-tuned for NLI, such as on MNLI, in INTENTSTREAM_ZERO_SHOT__MODEL."
        )
    return cast("Pipeline", opened)


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise NliUnavailableError(
            f"{folder} is no folder of a model: it has no config.json. Put one there, as transformers' "
            "`save_pretrained` writes it; or, for a model on the hub, set INTENTSTREAM_ZERO_SHOT__REVISION, too."
        )


def _fetched(name: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - comes with transformers
    from huggingface_hub.utils.tqdm import disable_progress_bars  # noqa: PLC0415 - likewise

    disable_progress_bars()
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(_FILES), ignore_patterns=["*/*"]))
    except (OSError, ValueError) as error:
        raise NliUnavailableError(
            f"The model {name} could not be fetched from the hub at {revision} ({type(error).__name__}). Check both "
            "and the network; where the hub cannot be reached, put the model into a folder, name that in "
            "INTENTSTREAM_ZERO_SHOT__MODEL and leave out INTENTSTREAM_ZERO_SHOT__REVISION."
        ) from error


def _load(folder: Path) -> tuple[Any, Any]:
    """Return network and tokenizer of a folder; nothing in it is run or unpickled."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: PLC0415 - an optional extra

    safely = {"local_files_only": True, "trust_remote_code": False}
    try:
        network, found = AutoModelForSequenceClassification.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, **safely
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, **safely)
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise NliUnavailableError(
            f"The NLI model in {folder} could not be loaded ({error}). It must be a sequence classifier that "
            "transformers knows without code of its own, with weights in safetensors and a tokenizer."
        ) from error
    if missing := sorted(found["missing_keys"]):
        raise NliUnavailableError(
            f"The NLI model in {folder} lacks weights, such as {missing[0]}: it was not fine-tuned as a classifier, or "
            "is not whole. Name one that was."
        )
    known = getattr(network.config, "max_position_embeddings", _MOST_TOKENS)
    tokenizer.model_max_length = min(tokenizer.model_max_length, known, _MOST_TOKENS)
    return network.float(), tokenizer
