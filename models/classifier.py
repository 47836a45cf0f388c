"""One call from texts to answers: what the stream's agent and the HTTP route use of this room."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np
import structlog

from models.blas import calm_blas
from models.cache import AnswerCache, Scope
from models.chain import Chain
from models.encoder import GOLDEN_SENTENCES
from models.fitting import Fitting
from models.learning.recollection import Surroundings
from models.local import LocalTier
from models.observer import Observer, Unobserved
from models.policy import NO_POLICY, Plan, Policy
from models.prediction import TierUnavailableError
from models.preparation import NOTHING_ANNOUNCED, Announced, Preparation
from models.recent_embeddings import RecentEmbeddings
from models.redis_store import RedisStore
from models.remote.opening import remote_tier
from models.router import DISTILBERT, RULES, ZERO_SHOT
from models.text import normalise
from models.threads import DaemonThread
from models.zero_shot import ZeroShotModel
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor

    from models.answer import Answer
    from models.breaker import BreakerState
    from models.catalogue import Catalogue
    from models.learning.nearness import Nearness
    from models.prediction import Model
    from models.remote.tier import RemoteTier
    from models.router import Route
    from schemas.settings import Settings

_Loaded = TypeVar("_Loaded")

NEVER_AUTOMATIC = 1.01
"""A confidence that no answer has: while nothing is known of the tiers, nothing can be promised."""

_TEST_SECONDS = 60.0
"""In which a tier that was just loaded must have answered a few sentences, on however busy a machine."""

_log = structlog.get_logger(__name__)


class Classifier:
    """Cache, chain and tiers of one catalogue. Start it and close it on the event loop that uses it."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        *,
        announced: Announced = NOTHING_ANNOUNCED,
        fitter: Executor | None = None,
        share: bool = True,
        beside: Classifier | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Compose what is to serve; nothing is loaded yet, and every tier says so.

        Args:
            settings: Of chain, cache, models and Redis.
            catalogue: The intents.
            announced: Which releases of it and of the fine-tuned tier to serve.
            fitter: Fits thresholds, one classifier's after another's; None: each fits its own.
            share: Whether answers are remembered in Redis, too.
            beside: One whose models are taken over where they are the same; it must be loaded. Nothing is found out
                here about what is near to corrections.
            observer: Is told what happens.
        """
        told = observer or Unobserved()
        self._beside = beside
        self._preparation = Preparation(
            settings, catalogue, announced, encoder=None if beside is None else beside.encoder
        )
        self._fitting = Fitting(settings, catalogue, self._preparation)
        self._classes = len(catalogue.labels) + 1
        self._labels = catalogue.labels
        self._encoder: RecentEmbeddings | None = None
        self._surroundings: Surroundings | None = None
        self._promises = settings.models.promise is not None
        self._policy = NO_POLICY
        self._plans: dict[Route, Plan] = {}
        self._remote = remote_tier(
            DISTILBERT, settings, catalogue.labels, installed=settings.state_folder / "models" / DISTILBERT
        )
        self._local = {
            name: LocalTier(name, hung_after_seconds=settings.chain.tier_deadline_seconds)
            for name in ((ZERO_SHOT, RULES) if self._remote else (DISTILBERT, ZERO_SHOT, RULES))
        }
        self._tiers: dict[str, LocalTier | RemoteTier] = {**self._local}
        if self._remote:
            self._tiers[DISTILBERT] = self._remote
        self._store = RedisStore(settings, observer=told) if share else None
        self._cache = AnswerCache(entries=settings.cache.local_entries, store=self._store, observer=told)
        self._chain = Chain(list(self._tiers.values()), catalogue.labels, settings.chain, observer=told)
        self._release = ""
        self._tested: Mapping[str, str | None] = {}
        self._loading: asyncio.Task[None] | None = None
        self._tiers_there = asyncio.Event()
        self._loader = DaemonThread("load-models")
        self._fitter = fitter or self._loader

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def release(self) -> str:
        """Return the name of what serves (`models.preparation.Preparation.release`); empty before `start`."""
        return self._release

    @property
    def preparation(self) -> Preparation:
        """Return what the tiers were made from."""
        return self._preparation

    @property
    def policy(self) -> Policy:
        """Return what is known of the tiers; until it is loaded, nothing is."""
        return self._policy

    @property
    def tiers(self) -> Mapping[str, LocalTier | RemoteTier]:
        """Return the tiers by name."""
        return self._tiers

    @property
    def remote(self) -> RemoteTier | None:
        """Return the tier that a server answers for, if there is one."""
        return self._remote

    def stood_in_for(self, model: str) -> str | None:
        """Return what the settings have answer in place of a model's releases; None where these serve."""
        if model == DISTILBERT and self._remote:
            return "a server"
        return "an NLI model" if model == ZERO_SHOT and self._preparation.by_nli else None

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the catalogue's intents."""
        return self._labels

    @property
    def encoder(self) -> RecentEmbeddings | None:
        """Return what embeds texts for the tier `zero_shot`, once that is loaded."""
        return self._encoder

    @property
    def surroundings(self) -> Surroundings | None:
        """Return what tells which texts are near to corrected ones; None until, and unless, it is loaded."""
        return self._surroundings

    @property
    def breakers(self) -> dict[str, BreakerState]:
        """Return the breakers of the tiers and, where answers are shared, of `redis`."""
        return self._chain.breakers | ({"redis": self._store.breaker} if self._store else {})

    @property
    def tested(self) -> Mapping[str, str | None]:
        """Return what `faults` found last, by tier; None where nothing was wrong."""
        return self._tested

    async def start(self) -> None:
        """Load the rules, so that every text has an answer from here on; the other tiers join when they are ready.

        Raises:
            OSError: The rules cannot be read or made. Without them, texts would be answered by no tier at all.
        """
        if (rules := self._taken_over(RULES)) is not None:
            self._local[RULES].serve(rules)
        else:
            self._local[RULES].serve(await self._off_the_loop(self._preparation.rules))
        calm_blas()
        _log.info("tier_ready", tier=RULES)
        self._release = await self._off_the_loop(lambda: self._preparation.release)
        self._loading = asyncio.create_task(self._load_others(), name="load-tiers")

    async def loaded(self) -> None:
        """Wait until every tier is ready or known not to be there, and what is known of them decides."""
        if self._loading is not None:
            await self._loading

    async def tiers_loaded(self, *, patience_seconds: float) -> None:
        """Wait until every tier is ready or known not to be there, and a while longer for what is known of them.

        Fitting that may take minutes for a large catalogue; where it was done before, it takes milliseconds.
        """
        if self._loading is not None:
            await self._tiers_there.wait()
            await asyncio.wait({self._loading}, timeout=patience_seconds)

    async def faults(self) -> dict[str, str]:
        """Put every local tier that is ready to the test, which warms it; return what is wrong, by tier."""
        self._tested = {name: await self._fault(tier) for name, tier in self._local.items() if tier.ready}
        return {name: fault for name, fault in self._tested.items() if fault is not None}

    async def close(self) -> None:
        """Stop loading, end the tiers' threads, let go of Redis."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        self._loader.shutdown()
        for tier in self._local.values():
            tier.unload("it was closed")  # whoever still holds us does not hold the models
            tier.close()
        if self._remote:
            await self._remote.close()
        await self._cache.close()

    async def classify(self, texts: Sequence[str], route: Route, *, caching: bool = True) -> list[Answer]:
        """Return one answer a text, in the texts' order; raises nothing but cancellation.

        Args:
            texts: As they were said. Those with the same normal form are classified once.
            route: Where to start and how to go on (`models.router.route`).
            caching: Whether to ask and fill the cache.
        """
        plan = self._plan(route)
        normal = [normalise(text) for text in texts]
        distinct = list(dict.fromkeys(normal))
        answers: dict[str, Answer] = {}
        scope = Scope(release=self._serving, route=plan.route, policy=self._policy.digest)
        if caching:
            remembered = await self._cache.recall(scope, distinct)
            answers = {text: answer for text, answer in zip(distinct, remembered, strict=True) if answer is not None}
        new = [text for text in distinct if text not in answers]
        if new:
            given = await self._chain.classify(
                new, plan.route.order, escalate=route.escalate, thresholds=plan.thresholds
            )
            answers.update(zip(new, given, strict=True))
            if caching:
                await self._cache.remember(scope, new, given)
        return [answers[text] for text in normal]

    def apply(self, policy: Policy) -> None:
        """Decide the next texts by this policy."""
        self._policy, self._plans = policy, {}

    def keep_embeddings(self, most: int) -> None:
        """Remember the embeddings of so many of the latest texts, for who is made beside us; 0: of none, any more."""
        if self._encoder is not None:
            self._encoder.keep(most)

    def plan(self, route: Route) -> Plan:
        """Return in which order a route's tiers are asked, and what each one's answer must have to stand."""
        plan = self._plan(route)
        return plan._replace(
            thresholds={
                name: self._chain.thresholds(plan.thresholds.get(name), escalate=route.escalate)
                for name in plan.route.order
            }
        )

    def review_below(self, route: Route) -> float | None:
        """Return how sure an answer on this route must be to need no person; None where nothing is promised."""
        if not self._promises:
            return None
        return self._policy.automatic.get(route.strategy.value, NEVER_AUTOMATIC)

    def _plan(self, route: Route) -> Plan:
        if route not in self._plans:
            self._plans[route] = self._policy.plan(route)
        return self._plans[route]

    @property
    def _serving(self) -> str:
        """Return what of the models answers depend on; a server's may change while this process runs."""
        return f"{self._release} {self._remote.identity}" if self._remote else self._release

    async def _fault(self, tier: LocalTier) -> str | None:
        texts = [normalise(text) for text in GOLDEN_SENTENCES]
        try:
            async with asyncio.timeout(_TEST_SECONDS):
                rows = await tier.classify(texts)
        except Exception as error:  # noqa: BLE001 - what a damaged model raises has no type of its own
            return f"it raises {type(error).__name__}"
        if rows.shape != (len(texts), self._classes):
            return f"its answers are of shape {rows.shape}"
        return None if np.isfinite(rows).all() else "its answers are no numbers"

    async def _off_the_loop(self, load: Callable[[], _Loaded]) -> _Loaded:
        """Load on a thread that need not end for the process to: a stop does not wait for training."""
        return await asyncio.get_running_loop().run_in_executor(self._loader, load)

    async def _load_others(self) -> None:
        try:
            await self._load(ZERO_SHOT, self._zero_shot)
            if self._remote:
                # What is wrong, the tier has logged; it asks again when it is asked.
                with contextlib.suppress(UnavailableError):
                    await self._remote.probe()
            else:
                await self._load(DISTILBERT, lambda: self._taken_over(DISTILBERT) or self._preparation.distilbert())
        finally:
            self._tiers_there.set()
        await self._load_policy()
        if self._beside is None:
            await self._load_nearness()

    def _taken_over(self, tier: str) -> Model | None:
        """Return the model of whom we are made beside, where ours would be the same."""
        if self._beside is None or not self._preparation.is_same(tier, self._beside.preparation):
            return None
        other = self._beside.tiers[tier]
        return other.model if isinstance(other, LocalTier) else None

    def _zero_shot(self) -> Model:
        if (taken_over := self._taken_over(ZERO_SHOT)) is not None:
            return taken_over
        model = self._preparation.zero_shot_tier()
        if isinstance(model, ZeroShotModel) and isinstance(model.encoder, RecentEmbeddings):
            self._encoder = model.encoder
        return model

    async def _load_nearness(self) -> None:
        """Find out what is near to what, or go on without and say why."""
        if self._encoder is None and not self._preparation.by_nli:
            return
        try:
            nearness, encoder = await self._off_the_loop(self._nearness)
        except Exception as error:  # noqa: BLE001 - the guard of loading: without it, corrections decide their very texts
            _log.exception("nearness_not_there", error=type(error).__name__)
        else:
            self._encoder = encoder
            self._surroundings = Surroundings(encoder, nearness, self._labels)
            _log.info("nearness_ready", least_cosine=round(nearness.least_cosine, 2))

    def _nearness(self) -> tuple[Nearness, RecentEmbeddings]:
        """Return what is near to what, and what embeds; where an NLI model answers, nothing was opened that does."""
        encoder = self._encoder or RecentEmbeddings(self._preparation.encoder())
        return self._preparation.nearness(encoder), encoder

    async def _load_policy(self) -> None:
        """Fit the policy where that was never done, or go on without and say why."""
        try:
            self.apply(await asyncio.get_running_loop().run_in_executor(self._fitter, self._fitting.policy))
        except UnavailableError as error:
            _log.warning("policy_not_there", reason=str(error))
        except Exception as error:  # noqa: BLE001 - the guard of fitting: without a policy the settings decide
            _log.exception("policy_not_fitted", error=type(error).__name__)
        else:
            _log.info("policy_ready", texts=self._policy.texts)

    async def _load(self, name: str, load: Callable[[], Model]) -> None:
        """Let a tier join, or say why it cannot."""
        tier = self._local[name]
        try:
            tier.serve(await self._off_the_loop(load))
        except TierUnavailableError as error:
            tier.unload(str(error))
            _log.info("tier_not_there", tier=name, reason=str(error))
        except UnavailableError as error:
            tier.unload(str(error))
            _log.warning("tier_not_there", tier=name, reason=str(error))
        except Exception as error:  # noqa: BLE001 - the guard of loading; see below
            # A full disk or a damaged model takes one tier, not the worker: the chain answers without it.
            tier.unload(f"it could not be loaded: {type(error).__name__}")
            _log.exception("tier_not_loaded", tier=name)
        else:
            _log.info("tier_ready", tier=name)
