"""What a model of the Open Inference Protocol takes: token ids or texts, as its metadata says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

import msgspec

from models.tokens import padded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.tokens import TextTokenizer

    Tensor = dict[str, Any]

_IDS, _MASK, _SEGMENTS = "input_ids", "attention_mask", "token_type_ids"
_WHOLE_NUMBERS = frozenset({"INT64", "INT32"})


class TensorSpec(msgspec.Struct, frozen=True):
    """What metadata says of one input or output; -1 in a shape is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, Any] | None = None

    @property
    def columns(self) -> int | None:
        """Return the size of the last axis, if it is fixed."""
        return self.shape[-1] if self.shape and self.shape[-1] >= 0 else None


class Inputs(Protocol):
    """How texts become the tensors of a request."""

    def tensors(self, texts: Sequence[str]) -> list[Tensor]:
        """Return the request's inputs."""


class TextInput:
    """One tensor of texts, of shape (texts,) or (texts, 1)."""

    def __init__(self, spec: TensorSpec) -> None:
        self._spec = spec

    @classmethod
    def of(cls, inputs: Sequence[TensorSpec]) -> Self | None:
        """Return how to ask a model with these inputs, if texts are what it takes."""
        if len(inputs) != 1 or inputs[0].datatype != "BYTES" or inputs[0].shape[1:] not in ((), (1,), (-1,)):
            return None
        return cls(inputs[0])

    def tensors(self, texts: Sequence[str]) -> list[Tensor]:
        """Return the texts."""
        shape = [len(texts)] + [1] * (len(self._spec.shape) - 1)
        return [{"name": self._spec.name, "datatype": "BYTES", "shape": shape, "data": list(texts)}]


class TokenInputs:
    """Tensors of token ids, of shape (texts, tokens)."""

    def __init__(self, inputs: Sequence[TensorSpec], tokenizer: TextTokenizer) -> None:
        self._inputs = inputs
        self._tokenizer = tokenizer

    @classmethod
    def of(cls, inputs: Sequence[TensorSpec], tokenizer: Callable[[], TextTokenizer]) -> Self | None:
        """Return how to ask a model with these inputs, if token ids are what it takes.

        Args:
            inputs: Of the model.
            tokenizer: Returns the release's; is not called where it is not needed.
        """
        names = {spec.name for spec in inputs}
        known = _IDS in names and names <= {_IDS, _MASK, _SEGMENTS}
        if not known or not all(spec.datatype in _WHOLE_NUMBERS for spec in inputs):
            return None
        return cls(inputs, tokenizer())

    def tensors(self, texts: Sequence[str]) -> list[Tensor]:
        """Return what the model asks for of token ids, mask and segments; there is one segment."""
        batch = padded(self._tokenizer.ids(texts))
        values = {_IDS: batch.ids, _MASK: batch.mask, _SEGMENTS: batch.mask * 0}
        return [
            {
                "name": spec.name,
                "datatype": spec.datatype,
                "shape": list(batch.ids.shape),
                "data": values[spec.name].ravel().tolist(),
            }
            for spec in self._inputs
        ]
