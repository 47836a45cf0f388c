"""An OpenFeature provider that decides in the process, from the changelog: no server is asked, and none can be away.

Needs the extra `openfeature`. It follows the log as every worker does, and so answers at once, as of milliseconds ago,
and goes on answering while the broker is away; then it says that it is stale.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self, TypeVar

import structlog
from confluent_kafka import Consumer
from openfeature.event import ProviderEventDetails
from openfeature.exception import ErrorCode, ProviderNotReadyError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, Metadata

from flags.admin import admin_client
from flags.clients import follower_config
from flags.evaluation import Context
from flags.follower import Follower

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from openfeature.evaluation_context import EvaluationContext
    from openfeature.flag_evaluation import FlagValueType

    from flags.evaluation import Snapshot
    from flags.follower import FollowerObserver
    from flags.refusals import RefusedRecord
    from schemas.events import FlagChange

    Structure = Sequence[FlagValueType] | Mapping[str, FlagValueType]

_log = structlog.get_logger(__name__)

Value = TypeVar("Value")

FLAGS_TOPIC = "intents.flags.v1"
_LOOK_SECONDS = 0.25


class FlagsProvider(AbstractProvider):
    """Feature flags for OpenFeature's clients.

    Args:
        new_follower: Makes a follower that tells this observer.
        stale_seconds: For how long it may be unknown whether there is news, before the provider says that it is stale.
        ready_seconds: How long `initialize` waits for the flags.
    """

    def __init__(
        self,
        new_follower: Callable[[FollowerObserver], Follower],
        *,
        stale_seconds: float = 10.0,
        ready_seconds: float = 10.0,
    ) -> None:
        super().__init__()
        self._new_follower = new_follower
        self._stale_seconds = stale_seconds
        self._ready_seconds = ready_seconds
        self._follower: Follower | None = None
        self._stopping = threading.Event()
        self._watch: threading.Thread | None = None

    @classmethod
    def connect(
        cls,
        bootstrap_servers: str,
        *,
        last_known: Path,
        topic: str = FLAGS_TOPIC,
        client: Mapping[str, Any] | None = None,
        stale_seconds: float = 10.0,
        ready_seconds: float = 10.0,
    ) -> Self:
        """Return a provider that follows the changelog on a broker.

        Args:
            bootstrap_servers: Where the broker is.
            last_known: The file where the flags are kept for the next start.
            topic: The changelog.
            client: More of librdkafka's configuration, such as how to prove who we are.
            stale_seconds: As above.
            ready_seconds: As above.
        """
        config = {"bootstrap.servers": bootstrap_servers} | dict(client or {})

        def new_follower(observer: FollowerObserver) -> Follower:
            return Follower(
                new_consumer=lambda: Consumer(follower_config(config)),
                admin=admin_client(config),
                topic=topic,
                overrides={},
                last_known=last_known,
                observer=observer,
                check_seconds=min(2.0, stale_seconds / 4),
            )

        return cls(new_follower, stale_seconds=stale_seconds, ready_seconds=ready_seconds)

    def get_metadata(self) -> Metadata:
        """Return our name."""
        return Metadata("intentstream")

    def initialize(self, evaluation_context: EvaluationContext) -> None:  # noqa: ARG002 - the SDK passes it
        """Follow the changelog; return when its end is reached, or when the flags that this machine knew last must do.

        Raises:
            ProviderNotReadyError: Neither is to be had. Once the broker is there, the provider becomes ready by itself.
        """
        changes = _Changes(self)
        follower = self._follower = self._new_follower(changes)
        knows = follower.snapshot.revision > 0
        changes.shown = follower.snapshot.changes if knows else None
        follower.start()
        caught_up = follower.wait_until_caught_up(self._ready_seconds)
        self._stopping.clear()
        self._watch = threading.Thread(
            target=self._run, args=[follower, knows or caught_up], name="flags-provider", daemon=True
        )
        self._watch.start()
        if not caught_up and not knows:
            raise ProviderNotReadyError(f"The flags could not be read within {self._ready_seconds:g} s.")

    def shutdown(self) -> None:
        """Stop following; what was known last is saved for the next start."""
        self._stopping.set()
        if self._watch is not None:
            self._watch.join()
        if self._follower is not None:
            self._follower.stop()

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: FBT001 - the SDK's own order
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Return whether a flag is on for someone."""
        return self._resolve(flag_key, default_value, evaluation_context, bool)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Return a flag's text for someone."""
        return self._resolve(flag_key, default_value, evaluation_context, str)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Return a flag's whole number for someone."""
        return self._resolve(flag_key, default_value, evaluation_context, int)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """Return a flag's number for someone; a whole one will do."""
        resolved = self._resolve(flag_key, default_value, evaluation_context, float, int)
        resolved.value = float(resolved.value)
        return resolved

    def resolve_object_details(
        self, flag_key: str, default_value: Structure, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[Structure]:
        """Return a flag's structure for someone."""
        return self._resolve(flag_key, default_value, evaluation_context, dict)

    def _resolve(
        self, name: str, default: Value, context: EvaluationContext | None, *types: type
    ) -> FlagResolutionDetails[Value]:
        if self._follower is None:
            return _failed(default, ErrorCode.PROVIDER_NOT_READY, "it was not initialised")
        asked = Context(user_id=context.targeting_key, attributes=context.attributes) if context else Context()
        answer = self._follower.snapshot.evaluate(name, asked, default)
        if answer.error_code is not None:
            return _failed(default, ErrorCode(answer.error_code), answer.detail)
        value = answer.value
        if type(value) not in types:  # a bool is no integer here
            return _failed(default, ErrorCode.TYPE_MISMATCH, f"its value is of type {type(value).__name__}")
        return FlagResolutionDetails(
            value,
            reason=Reason(answer.reason),
            variant=answer.variant,
            flag_metadata={"version": answer.version, "origin": str(answer.origin)},
        )

    def _run(self, follower: Follower, ready: bool) -> None:  # noqa: FBT001 - a thread's argument
        """Say when the flags begin to be old, and when they are current again, or there for the first time."""
        while not self._stopping.wait(_LOOK_SECONDS):
            was, ready = ready, follower.age_seconds <= self._stale_seconds
            if was and not ready:
                self.emit_provider_stale(ProviderEventDetails(message="The broker is not heard of."))
            elif ready and not was:
                self.emit_provider_ready(ProviderEventDetails(message="The flags are current."))


class _Changes:
    """Tells the provider's clients what its follower meets.

    Attributes:
        shown: The changes that clients have seen, by flag; None: they have seen nothing yet.
    """

    def __init__(self, provider: FlagsProvider) -> None:
        self._provider = provider
        self.shown: Mapping[str, FlagChange] | None = None

    def applied(self, snapshot: Snapshot) -> None:
        """Say which flags have changed; the first flags there are make the provider ready, and are no change."""
        before, self.shown = self.shown, snapshot.changes
        if before is not None:
            changed = sorted(name for name, change in snapshot.changes.items() if before.get(name) != change)
            gone = sorted(before.keys() - snapshot.changes.keys())
            details = ProviderEventDetails(flags_changed=changed + gone, metadata={"revision": snapshot.revision})
            self._provider.emit_provider_configuration_changed(details)

    def refused(self, record: RefusedRecord) -> None:
        """Leave it to the workers, who count it and mend what it damaged."""

    def broker_error(self, code: str) -> None:
        """Note it; how old the flags are says whether it matters."""
        _log.debug("flags_broker_error", code=code)

    def unexpected(self, guard: str) -> None:
        """Say that something is broken in here; the last flags go on answering."""
        details = ProviderEventDetails(message=f"A fault of its own, in {guard}.", error_code=ErrorCode.GENERAL)
        self._provider.emit_provider_error(details)


def _failed(default: Value, code: ErrorCode, message: str) -> FlagResolutionDetails[Value]:
    return FlagResolutionDetails(default, error_code=code, error_message=message, reason=Reason.ERROR)
