"""What the models tell whoever measures them; they know no metrics library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from models.breaker import BreakerState
    from schemas.events import Attempt


class Observer(Protocol):
    """Is told what happens, on the event loop; must neither block nor raise."""

    def tier_called(self, attempt: Attempt, texts: int) -> None:
        """One tier's turn at a batch ended; `ANSWERED` also where it was unsure of some of its texts."""

    def tier_answered(self, tier: str, texts: int) -> None:
        """So many texts of a batch got their answer from this tier."""

    def breaker_changed(self, name: str, state: BreakerState) -> None:
        """The breaker of a tier, or of `redis`, is in another state than after the call before."""

    def cache_asked(self, level: str, hits: int, misses: int) -> None:
        """The cache's level `local` or `redis` was asked for a batch."""


class Unobserved:
    """Listens to nothing."""

    def tier_called(self, attempt: Attempt, texts: int) -> None:
        """Do nothing."""

    def tier_answered(self, tier: str, texts: int) -> None:
        """Do nothing."""

    def breaker_changed(self, name: str, state: BreakerState) -> None:
        """Do nothing."""

    def cache_asked(self, level: str, hits: int, misses: int) -> None:
        """Do nothing."""
