"""What held-out texts taught about the tiers: how to read each one's confidence, and when its answer may stand.

Fitted once, by `models.training.policy`, and kept with the prepared models as JSON that a person can read. Without one,
the tiers are taken at their word and the settings decide.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from models.calibration import Calibration
from models.router import DISTILBERT, RULES, Route
from models.thresholds import UNFITTED, Thresholds
from schemas.strategies import Strategy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class TierPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one tier.

    Attributes:
        accuracy: Alone, on the held-out texts in scope.
        calibration: What makes its probabilities mean what they say.
        out_of_scope: From what probability on a text counts as out of scope.
        sure_before: By the name of a better tier, how sure this one must be for that one not to be asked.
    """

    accuracy: float
    calibration: Calibration = Calibration()
    out_of_scope: float = 1.0
    sure_before: dict[str, float] = {}


class Plan(NamedTuple):
    """A route, and what each tier's answer must have to stand on it."""

    route: Route
    thresholds: Mapping[str, Thresholds]


class Policy(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """All of it.

    Attributes:
        tiers: By name, the best first; one that is not among them could not be put to the test.
        texts: How many held-out texts it was fitted on.
        corpus: Digest of the corpus they came from; empty where they were a catalogue's examples.
        promise: The share of right answers that `automatic` stands for.
        automatic: By strategy, how sure an answer must be to need no person; more than 1 where none is.
        choices: By strategy, how likely a candidate must be to be shown to the person.
    """

    tiers: dict[str, TierPolicy] = {}
    texts: int = 0
    corpus: str = ""
    promise: float = 0.0
    automatic: dict[str, float] = {}
    choices: dict[str, float] = {}

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256, in hex, of all that an answer depends on."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    def plan(self, route: Route) -> Plan:
        """Return a route with its tiers in the order of what they are worth, and the thresholds of those known.

        A tier that is not known is taken for better than those that are: it was put there for a reason.
        """
        if not self.tiers:
            return Plan(route, {})
        order = self._order(route)
        return Plan(
            route._replace(order=order), {name: self._thresholds(name, order) for name in order if name in self.tiers}
        )

    def joined(self, name: str, known: TierPolicy) -> Policy:
        """Return a policy that knows one more tier, by what its own release says of it.

        It counts for better than the others, which it was not held against. Without these, nothing changes.
        """
        if not self.tiers or name in self.tiers:
            return self
        return msgspec.structs.replace(self, tiers={name: known, **self.tiers})

    def save(self, file: Path) -> None:
        """Write it as JSON."""
        file.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")

    @classmethod
    def load(cls, file: Path) -> Policy:
        """Read what `save` wrote.

        Raises:
            msgspec.DecodeError: It is no policy.
        """
        return msgspec.json.decode(file.read_bytes(), type=cls)

    def _order(self, route: Route) -> tuple[str, ...]:
        """Return the tiers, the best first; the one that the strategy puts in front stays there."""
        match route.strategy:
            case Strategy.PERFORMANCE:
                return route.order
            case Strategy.ADAPTIVE:
                first = RULES
            case Strategy.QUALITY:
                first = DISTILBERT
            case Strategy.STANDARD:
                first = ""
        ranks = {name: rank for rank, name in enumerate(self.tiers)}
        return tuple(sorted(route.order, key=lambda name: (name != first, ranks.get(name, -1))))

    def _thresholds(self, name: str, order: tuple[str, ...]) -> Thresholds:
        """Return what lets a tier's answer stand; it need not be sure where those behind it are no better."""
        known, behind = self.tiers[name], order[order.index(name) + 1 :]
        ahead = set(list(self.tiers)[: list(self.tiers).index(name)])
        better = [other for other in behind if other in ahead or other not in self.tiers]
        dearest = max(known.sure_before.values(), default=UNFITTED.sure)
        sure = known.sure_before.get(better[0], dearest) if better else 0.0
        return Thresholds(sure=sure, intent=0.0, out_of_scope=known.out_of_scope, calibration=known.calibration)


NO_POLICY = Policy()
