"""A probe lies if it says ready long after the broker went, or ever says that its worker is not alive."""

from __future__ import annotations

import pytest

from infra.chaos.witness import LIVE, PROMISED_SECONDS, READY, Away, Said, Witness

OUTAGE = Away(100.0, 120.0)
LATE = OUTAGE.begun + PROMISED_SECONDS + 1


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(Said(READY, 200, LATE, LATE + 1), id="ready although the broker is long away"),
        pytest.param(Said(LIVE, 503, 1.0, 2.0), id="not alive"),
    ],
)
def test_what_is_a_lie(said: Said) -> None:
    witness = Witness([])
    witness.said["worker"].append(said)
    assert witness.lies([OUTAGE]) == [("worker", said)]


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(Said(READY, 503, LATE, LATE + 1), id="not ready while the broker is away"),
        pytest.param(Said(READY, 503, 1.0, 2.0), id="not ready for another reason"),
        pytest.param(Said(READY, 200, 101.0, 102.0), id="ready while it cannot know yet"),
        pytest.param(Said(READY, 200, LATE, 120.5), id="answered after it was back"),
        pytest.param(Said(LIVE, 200, LATE, LATE + 1), id="alive, whatever is away"),
    ],
)
def test_what_is_none(said: Said) -> None:
    witness = Witness([])
    witness.said["worker"].append(said)
    assert witness.lies([OUTAGE]) == []
