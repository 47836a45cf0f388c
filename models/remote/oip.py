"""The Open Inference Protocol v2 over HTTP, which Triton, KServe, MLServer and OpenVINO Model Server speak.

https://github.com/kserve/open-inference-protocol. What a model takes is read from its metadata: token ids
(`input_ids`, and where it asks for them `attention_mask` and `token_type_ids`), or texts (one input of BYTES). What it
gives are logits: its only output, or the one of that name. Its labels stand in the parameters of that output or of the
model, `{"labels": [...], "temperature": 1.0, "release": "…"}`, or else in the release's folder on this machine, which
is then taken for the release that is served.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from models.labels import Labels
from models.prediction import TierFailedError, TierUnavailableError
from models.remote.oip_inputs import TensorSpec, TextInput, TokenInputs
from models.remote.served import checked_logits, decoded, most_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.remote.client import ServerClient
    from models.remote.oip_inputs import Inputs
    from models.remote.release import ServedRelease
    from models.remote.served import Logits

_PROTOCOL = "the Open Inference Protocol"
_LOGITS = "logits"


class _Metadata(msgspec.Struct, frozen=True):
    versions: tuple[str, ...] | None = None
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    parameters: dict[str, Any] | None = None


class _Told(Labels, frozen=True, kw_only=True):
    """What the parameters of a model's metadata say of its logits."""

    release: str | None = None


class _Output(msgspec.Struct, frozen=True):
    name: str
    shape: tuple[int, ...]
    data: msgspec.Raw


class _Answer(msgspec.Struct, frozen=True):
    outputs: tuple[_Output, ...]
    model_version: str | None = None


class OpenInferenceServer:
    """A server of this protocol, asked for one model."""

    def __init__(self, client: ServerClient, release: ServedRelease, *, model: str, version: str | None) -> None:
        """Take whom to ask for what.

        Args:
            client: Of the server.
            release: Where labels and tokenizer are looked for.
            model: The model's name.
            version: None: the server's choice.
        """
        self._client = client
        self._release = release
        self._version = version
        self._path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "")

    async def model(self) -> OpenInferenceModel:
        """Ask the server whether it and the model are ready, and what the model takes, gives and means.

        Raises:
            TierFailedError: It is not ready, or not there.
            TierUnavailableError: The model cannot be used.
        """
        await self._client.get("/v2/health/live")
        await self._client.get(f"{self._path}/ready")
        metadata = decoded(await self._client.get(self._path), _Metadata, protocol=_PROTOCOL)
        output = _logits_of(metadata.outputs)
        inputs, told = await asyncio.to_thread(self._understood, metadata, output)
        if output.columns not in (None, len(told.labels)):
            raise TierUnavailableError(f"its server gives {output.columns} logits for {len(told.labels)} labels")
        return OpenInferenceModel(
            self._client,
            f"{self._path}/infer",
            inputs=inputs,
            output=output.name,
            labels=Labels(labels=told.labels, temperature=told.temperature),
            release=told.release,
            version=self._version or _only(metadata.versions),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _understood(self, metadata: _Metadata, output: TensorSpec) -> tuple[Inputs, _Told]:
        """Read of the release's folder what the metadata leaves open."""
        inputs = TextInput.of(metadata.inputs) or TokenInputs.of(metadata.inputs, self._release.tokenizer)
        if inputs is None:
            raise TierUnavailableError("its server's model takes neither token ids nor texts")
        return inputs, _told_in(output.parameters, metadata.parameters) or self._told_here()

    def _told_here(self) -> _Told:
        labels, digests = self._release.labels(), self._release.digests()
        return _Told(labels=labels.labels, temperature=labels.temperature, release=digests[0] if digests else None)


class OpenInferenceModel:
    """A model of such a server."""

    def __init__(
        self,
        client: ServerClient,
        path: str,
        *,
        inputs: Inputs,
        output: str,
        labels: Labels,
        release: str | None,
        version: str | None,
    ) -> None:
        """Take how it is asked.

        Args:
            client: Of its server.
            path: Where it infers.
            inputs: What it takes.
            output: Which of its outputs are the logits.
            labels: What they stand for.
            release: What the server calls the release, if it tells.
            version: Which version answers; None where the first answer will tell.
        """
        self.labels = labels
        self.release = release
        self.version = version
        self._client = client
        self._path = path
        self._inputs = inputs
        self._output = output

    async def logits(self, texts: Sequence[str]) -> Logits:
        """Return one row a text.

        Raises:
            TierFailedError: There is no answer that can be used, or one of another version than before.
        """
        asked = {"inputs": self._inputs.tensors(texts), "outputs": [{"name": self._output}]}
        expected = (len(texts), len(self.labels.labels))
        body = await self._client.post(self._path, msgspec.json.encode(asked), most_bytes=most_bytes(*expected))
        answer = decoded(body, _Answer, protocol=_PROTOCOL)
        self.version = self.version or answer.model_version
        if answer.model_version not in (None, self.version):
            raise TierFailedError("its server has changed to another version of the model")
        for output in answer.outputs:
            if output.name == self._output:
                return checked_logits(_numbers(output.data), shape=output.shape, expected=expected)
        raise TierFailedError("its server's answer has no logits")


def _numbers(data: msgspec.Raw) -> list[float]:
    """Read a tensor's numbers, flat or a list a row: the protocol allows for both."""
    try:
        return msgspec.json.decode(data, type=list[float])
    except msgspec.DecodeError:
        pass
    try:
        return [number for row in msgspec.json.decode(data, type=list[list[float]]) for number in row]
    except msgspec.DecodeError as error:
        raise TierFailedError("its server's answer holds what is no number") from error


def _logits_of(outputs: Sequence[TensorSpec]) -> TensorSpec:
    chosen = outputs if len(outputs) == 1 else [output for output in outputs if output.name == _LOGITS]
    if not chosen or not chosen[0].datatype.startswith(("FP", "BF")):
        raise TierUnavailableError("its server's model has no output of logits")
    return chosen[0]


def _only(versions: Sequence[str] | None) -> str | None:
    return versions[0] if versions and len(versions) == 1 else None


def _told_in(*places: dict[str, Any] | None) -> _Told | None:
    """Return what the first of several parameters tells of labels."""
    for place in places:
        if place and "labels" in place:
            try:
                return msgspec.convert(place, _Told)
            except msgspec.ValidationError as error:
                raise TierUnavailableError("its server tells labels that cannot be read") from error
    return None
