"""Who may take part in a pipeline's benchmark, and who of them can, once the peers have been installed.

A peer that cannot be installed stays away, and is said to; whoever asked for it by name is told why instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.bench.peers import prepare_peer
from infra.bench.pipeline_sides import Side
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

RULES, ADAPTIVE, QUALITY, AT_LEAST_ONCE = "rules", "adaptive", "quality", "at_least_once"
LOOP_1, LOOP_32, TORCHSERVE = "transformers_loop_1", "transformers_loop_32", "torchserve"
QUIX, BYTEWAX, FAUST = "quix", "bytewax", "faust"
BARE = "bare_model"

EVERYONE = (RULES, ADAPTIVE, AT_LEAST_ONCE, QUALITY, LOOP_1, LOOP_32, TORCHSERVE, QUIX, BYTEWAX, FAUST, BARE)


def ours() -> list[Side]:
    """Return a worker of each kind."""
    return [
        Side(RULES, flags=("performance_mode",)),
        Side(ADAPTIVE),
        Side(AT_LEAST_ONCE, settings=(("INTAKE__AT_LEAST_ONCE", "true"),)),
        Side(QUALITY, flags=("quality_mode",)),
    ]


def peers(*, threads: int, labels: int, release: Path | None) -> list[Side]:
    """Return everybody else.

    Args:
        threads: Of torch.
        labels: How many a network without a release has.
        release: The folder of the network that transformers runs; None: one that has learnt nothing.
    """
    model = (str(threads), str(labels), str(release.resolve()) if release else "")
    return [
        Side(LOOP_1, peer=("models", "loop.py", "1", *model)),
        Side(LOOP_32, peer=("models", "loop.py", "32", *model)),
        Side(TORCHSERVE, peer=("models", "served.py", "32", *model)),
        Side(QUIX, peer=("pipeline", "quix.py")),
        Side(BYTEWAX, peer=("pipeline", "flow.py")),
        Side(FAUST, peer=("pipeline", "agent.py")),
    ]


def installed(
    sides: Sequence[Side],
    *,
    named: Collection[str],
    say: Callable[[str], None],
    prepare: Callable[[str], None] = prepare_peer,
) -> list[Side]:
    """Return who is here, once the peers' environments have been made.

    Args:
        sides: Who would take part.
        named: Who must.
        say: Told who stays away, and why.
        prepare: Makes a project's environment, or raises `UnavailableError`.

    Raises:
        UnavailableError: One that is named is not here.
    """
    away: set[str] = set()
    for project in _projects(sides):
        try:
            prepare(project)
        except UnavailableError as error:
            missed = [side.name for side in sides if side.project == project]
            if asked := [name for name in missed if name in named]:
                raise UnavailableError(f"{', '.join(asked)}: {error}") from error
            say(f"without {', '.join(missed)}: {error}")
            away.add(project)
    return [side for side in sides if side.project not in away]


def _projects(sides: Iterable[Side]) -> list[str]:
    return list(dict.fromkeys(side.project for side in sides if side.project))
