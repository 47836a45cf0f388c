"""What stands in for the publisher, which needs a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.batches import Outgoing


class Outbox:
    """Keeps what is published.

    Attributes:
        published: All of it.
        broken: Whether to refuse instead.
    """

    def __init__(self) -> None:
        self.published: list[Outgoing] = []
        self.broken = False

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Take records, unless broken."""
        if self.broken:
            raise UnavailableError("The broker did not take it.")
        self.published += records
