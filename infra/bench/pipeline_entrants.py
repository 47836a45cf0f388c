"""Who may take part in a pipeline's benchmark, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.bench.pipeline_sides import Side

if TYPE_CHECKING:
    from pathlib import Path

RULES, ADAPTIVE, QUALITY, AT_LEAST_ONCE = "rules", "adaptive", "quality", "at_least_once"
LOOP_1, LOOP_32 = "transformers_loop_1", "transformers_loop_32"
QUIX, BYTEWAX = "quix", "bytewax"
BARE = "bare_model"

EVERYONE = (RULES, ADAPTIVE, AT_LEAST_ONCE, QUALITY, LOOP_1, LOOP_32, QUIX, BYTEWAX, BARE)


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
        Side(QUIX, peer=("pipeline", "quix.py")),
        Side(BYTEWAX, peer=("pipeline", "flow.py")),
    ]
