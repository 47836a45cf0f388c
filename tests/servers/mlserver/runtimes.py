"""A release of ours as MLServer runs it: one model that takes token ids, and one that takes texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from models.session import TokenSession


class TokenRuntime(MLModel):  # type: ignore[misc]  # its types are not installed where these are checked
    """Takes `input_ids` and `attention_mask`."""

    async def load(self) -> bool:
        """Load the graph."""
        self._session = onnxruntime.InferenceSession(Path(self.settings.parameters.uri) / "model.onnx")
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run the graph on what was sent."""
        sent = {each.name: NumpyCodec.decode_input(each).astype(np.int64) for each in payload.inputs}
        logits = self._session.run(["logits"], sent)[0]
        return InferenceResponse(
            model_name=self.name, model_version=self.version, outputs=[NumpyCodec.encode_output("logits", logits)]
        )


class TextRuntime(MLModel):  # type: ignore[misc]  # likewise
    """Takes texts, and tokenises them itself."""

    async def load(self) -> bool:
        """Load graph and tokenizer."""
        release = Path(self.settings.parameters.uri)
        self._session = TokenSession(release / "model.onnx", release / "tokenizer.json", threads=1)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Classify what was sent."""
        logits = self._session.run(StringCodec.decode_input(payload.inputs[0]))
        return InferenceResponse(
            model_name=self.name, model_version=self.version, outputs=[NumpyCodec.encode_output("logits", logits)]
        )
