"""What a network says, or makes, of many texts while it is being trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from models.training.batches import Batch, by_length

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from models.training.device import Device

    Rows = npt.NDArray[np.float32]

_TEXTS_AT_ONCE = 64


def infer(network: torch.nn.Module, tokens: Sequence[Sequence[int]], device: Device) -> Rows:
    """Return logits of shape (texts, classes), in the texts' order; `tokens` must not be empty."""
    return _each(network, tokens, lambda batch: logits_of(network, batch, device))


def first_tokens(network: torch.nn.Module, tokens: Sequence[Sequence[int]], device: Device) -> Rows:
    """Return what the head reads of each text, shape (texts, width), in the texts' order."""

    def read(batch: Batch) -> torch.Tensor:
        with device.products():
            states: torch.Tensor = network.distilbert(**_inputs(batch, device)).last_hidden_state
        return states[:, 0].float()

    return _each(network, tokens, read)


def logits_of(network: torch.nn.Module, batch: Batch, device: Device) -> torch.Tensor:
    """Return the logits of one batch, in fp32."""
    with device.products():
        logits: torch.Tensor = network(**_inputs(batch, device)).logits
    return logits.float()


def _inputs(batch: Batch, device: Device) -> dict[str, torch.Tensor]:
    ids, mask = (torch.from_numpy(array).to(device.name) for array in batch.tokens)
    return {"input_ids": ids, "attention_mask": mask}


def _each(network: torch.nn.Module, tokens: Sequence[Sequence[int]], read: Callable[[Batch], torch.Tensor]) -> Rows:
    network.eval()
    places, outputs = [], []
    with torch.inference_mode():
        for batch in by_length(tokens, _TEXTS_AT_ONCE):
            places.append(batch.rows)
            outputs.append(read(batch).cpu().numpy())
    ordered: Rows = np.concatenate(outputs)[np.argsort(np.concatenate(places))]
    return ordered
