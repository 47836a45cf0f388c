"""Our classifier as a library, for frameworks that call a function: adaptive, and without a cache."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, TypeVar

from models.catalogue import default_catalogue_path, load_catalogue
from models.classifier import Classifier
from models.router import route
from schemas.settings_loading import load_settings
from schemas.strategies import Strategy

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from typing import Any

_WARM = 64

_Result = TypeVar("_Result")


class Library:
    """Answers utterances with what a result needs at least. Returns from its making once every tier is loaded."""

    def __init__(self) -> None:
        settings = load_settings()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        catalogue = load_catalogue(settings.models.catalogue or default_catalogue_path())
        self._classifier = Classifier(settings, catalogue, share=False)
        self._call(self._open())
        self._route = route(Strategy.ADAPTIVE, distilbert=self._is_tuned(), zero_shot=True)
        self.answer([json.dumps({"id": "", "text": "hello"}).encode()] * _WARM)

    def answer(self, values: Sequence[bytes]) -> list[bytes]:
        """Return a result for each utterance."""
        return self._call(self._answer(values))

    async def answer_from_loop(self, values: Sequence[bytes]) -> list[bytes]:
        """Return a result for each utterance, to a caller with an event loop of its own, which goes on meanwhile."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._answer(values), self._loop))

    async def _answer(self, values: Sequence[bytes]) -> list[bytes]:
        said = [json.loads(value) for value in values]
        answers = await self._classifier.classify([each["text"] for each in said], self._route, caching=False)
        return [
            json.dumps({"utterance_id": each["id"], "intent": answer.intent}).encode()
            for each, answer in zip(said, answers, strict=True)
        ]

    async def _open(self) -> None:
        await self._classifier.start()
        await self._classifier.loaded()

    def _is_tuned(self) -> bool:
        return not self._classifier.tiers["distilbert"].missing

    def _call(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
