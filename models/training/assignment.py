"""What one attempt at teaching a network learns from: plain content, which can be handed to another process."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from models.taught_network import Taught  # noqa: TC001 - msgspec reads it from here

if TYPE_CHECKING:
    from pathlib import Path

Said = tuple[str, int]
"""A text, normalised, and the column of what it means: the place of its intent in the catalogue, or one more."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt learns, and where everything lies.

    Attributes:
        owner: Folder of the release that the network's owner made: where training begins.
        champion: Folder of the release that serves; the owner's, or one that was taught.
        out: Where the taught release is to lie.
        labels: The catalogue's intents, in its order.
        known: What the catalogue says, and the corrections that the champion has learnt.
        shown: Of the corrections that it has not, those that the twin learns.
        held_out: Those that the twin is asked about.
        guessed_by_twin: What was said lately, each text with what it is taken for without knowing of `held_out`.
        guessed: Likewise, knowing of all.
        taught: What the release is to say of itself.
        seed: Of all that chance decides.
        threads: Of torch, on a processor.
    """

    owner: str
    champion: str
    out: str
    labels: tuple[str, ...]
    known: tuple[Said, ...]
    shown: tuple[Said, ...]
    held_out: tuple[Said, ...]
    guessed_by_twin: tuple[Said, ...]
    guessed: tuple[Said, ...]
    taught: Taught
    seed: int
    threads: int


class Folders(NamedTuple):
    """Where releases lie: the owner's, the one that serves, and the one to be made."""

    owner: Path
    champion: Path
    out: Path
