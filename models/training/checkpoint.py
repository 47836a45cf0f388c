"""Where fine-tuning stands, in one file: after a kill it goes on from there, as if nothing had happened.

The file is safetensors, so that reading one runs no code of whoever wrote it; it is replaced whole or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import torch
from safetensors import safe_open
from safetensors.torch import save_file

if TYPE_CHECKING:
    from pathlib import Path

    from models.training.averaging import Average

_FILE, _PROGRESS = "checkpoint.safetensors", "progress"
_NETWORK, _AVERAGE, _BEST, _OPTIMISER = "network.", "average.", "best.", "optimiser."

Tensors = dict[str, torch.Tensor]


class Progress(msgspec.Struct, kw_only=True):
    """How far it has come.

    Attributes:
        step: Steps done.
        loss: Sum over this epoch's texts.
        right: This epoch's texts whose label was given, before each step.
        texts: This epoch's texts so far.
        best_epoch: The epoch, from 1, whose weights are the best so far; 0: those before the first; -1: none yet.
        best_loss: Theirs on the validation texts.
        best_accuracy: Likewise.
        seconds: Spent so far, over all runs.
    """

    step: int = 0
    loss: float = 0.0
    right: int = 0
    texts: int = 0
    best_epoch: int = -1
    best_loss: float = 0.0
    best_accuracy: float = 0.0
    seconds: float = 0.0


def save_checkpoint(
    folder: Path,
    progress: Progress,
    best: Tensors,
    *,
    network: torch.nn.Module,
    average: Average,
    optimiser: torch.optim.Optimizer,
) -> None:
    """Write everything that the next step depends on."""
    tensors = _prefixed(_NETWORK, network.state_dict()) | _prefixed(_BEST, best)
    tensors |= _prefixed(_AVERAGE, average.tensors)
    for place, state in optimiser.state_dict()["state"].items():
        tensors |= _prefixed(f"{_OPTIMISER}{place}.", state)
    writing = folder / f".{_FILE}"
    save_file(tensors, writing, metadata={_PROGRESS: msgspec.json.encode(progress).decode()})
    writing.replace(folder / _FILE)


def load_checkpoint(
    folder: Path, *, network: torch.nn.Module, average: Average, optimiser: torch.optim.Optimizer
) -> tuple[Progress, Tensors]:
    """Set network, average and optimiser to where they stood; return the progress and the best weights so far.

    Without a checkpoint in the folder, nothing is set and the progress is none.
    """
    file = folder / _FILE
    if not file.is_file():
        return Progress(), {}
    device = next(network.parameters()).device
    with safe_open(file, framework="pt", device=str(device)) as opened:
        progress = msgspec.json.decode(opened.metadata()[_PROGRESS], type=Progress)
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no dict
    network.load_state_dict(_of(_NETWORK, tensors))
    average.tensors = _of(_AVERAGE, tensors)
    state: dict[int, Tensors] = {}
    for name, tensor in _of(_OPTIMISER, tensors).items():
        place, field = name.split(".", 1)
        state.setdefault(int(place), {})[field] = tensor
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})
    return progress, _of(_BEST, tensors)


def _prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: tensor.contiguous() for name, tensor in tensors.items()}


def _of(prefix: str, tensors: Tensors) -> Tensors:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
