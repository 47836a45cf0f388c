"""Streams of utterances whose truth is known, looked at again and again: whether what is promised holds.

What a user does is drawn once, and the looks are at growing parts of one stream, as in life. All tests are those that
serve; only their counts are made for all looks of a stream at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flags.statistics.affected import LEVELS, Meetings

if TYPE_CHECKING:
    import numpy.typing as npt

    from flags.statistics.arm import Counts

    Flags = npt.NDArray[np.bool_]
    Numbers = npt.NDArray[np.float64]

EVENTS_PER_SLICE = 5
"""That is 50 utterances a second."""


class Stream(NamedTuple):
    """Utterances in their order, each array of shape (utterances,).

    Attributes:
        users: Who said it.
        treated: Whether the user is one of the treated.
        failed: Whether it met with the event.
    """

    users: Counts
    treated: Flags
    failed: Flags


class Population(NamedTuple):
    """What kind of users there are.

    Attributes:
        users: How many; 0: each utterance is a user's only one.
        heaviness: Spread of the logarithm of how much they say; 0: all the same.
        proneness: Spread of the logarithm of how readily they meet with the event; 0: all the same.
    """

    users: int = 0
    heaviness: float = 0.0
    proneness: float = 0.0


ONE_EACH = Population()


def draw_stream(
    random: np.random.Generator,
    *,
    utterances: int,
    share: float,
    rate: float,
    ratio: float = 1.0,
    population: Population = ONE_EACH,
) -> Stream:
    """Draw a stream.

    Args:
        random: Where chance comes from.
        utterances: How many.
        share: With which probability a user is one of the treated.
        rate: How readily the event meets an utterance of a user like most, if not treated.
        ratio: How many times as readily it meets the treated.
        population: The users.
    """
    if population.users == 0:
        users = np.arange(utterances)
        treated = random.random(utterances) < share
        chances = np.full(utterances, rate)
    else:
        weights = random.lognormal(0.0, population.heaviness, population.users)
        users = random.choice(population.users, utterances, p=weights / weights.sum())
        treated = (random.random(population.users) < share)[users]
        # The lognormal's mean is one, so that the rate of all of them stays what it is.
        spread = population.proneness
        chances = rate * random.lognormal(-(spread**2) / 2, spread, population.users)[users]
    failed = random.random(utterances) < chances * np.where(treated, ratio, 1.0)
    return Stream(users, treated, failed)


def fail_whole_calls(random: np.random.Generator, stream: Stream, *, share: float, rate: float) -> Stream:
    """Return a stream in which now and then all of one arm's utterances of a slice fail together.

    Args:
        random: Where chance comes from.
        stream: The rest of it.
        share: Of the treated; who are more are in more calls.
        rate: Failed calls a slice.
    """
    slices = np.arange(len(stream.users)) // EVENTS_PER_SLICE
    of_treated = random.random(slices[-1] + 1) < rate * share
    of_control = random.random(slices[-1] + 1) < rate * (1 - share)
    hit = np.where(stream.treated, of_treated[slices], of_control[slices])
    return stream._replace(failed=stream.failed | hit)


def meetings_at(stream: Stream, looks: Counts) -> Meetings:
    """Return what the test of rates looks at, at each look; shape (levels, looks).

    Args:
        stream: Of utterances.
        looks: After how many utterances, rising, shape (looks,); at the ends of slices.
    """
    at = np.flatnonzero(stream.failed)
    users, ordinal = stream.users[at], _ordinals(stream.users[at])
    counts = _counting(users, at // EVENTS_PER_SLICE, first=ordinal == 1)
    treated = stream.treated[at]
    reached = [counts & (ordinal == level) for level in LEVELS]
    return Meetings(
        treated=np.stack([np.searchsorted(at[those & treated], looks) for those in reached]),
        control=np.stack([np.searchsorted(at[those & ~treated], looks) for those in reached]),
    )


def z_scores(stream: Stream, looks: Counts) -> Numbers:
    """Return, at each look, what a plain test of two proportions makes of the utterances; shape (looks,)."""
    said = np.stack([np.cumsum(stream.treated), np.cumsum(~stream.treated)])[:, looks - 1]
    met = np.stack([np.cumsum(stream.failed & stream.treated), np.cumsum(stream.failed & ~stream.treated)])[
        :, looks - 1
    ]
    pooled = met.sum(axis=0) / said.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(pooled * (1 - pooled) * (1 / said).sum(axis=0))
        rates = met / said
        return np.asarray(np.nan_to_num((rates[0] - rates[1]) / error))


def _ordinals(users: Counts) -> Counts:
    """Return for each entry how often its user has come by then, itself included."""
    order = np.argsort(users, kind="stable")
    sorted_users = users[order]
    starts = np.flatnonzero(np.diff(sorted_users, prepend=-1))
    runs = np.arange(len(users)) - np.repeat(starts, np.diff(starts, append=len(users)))
    ordinals = np.empty(len(users), np.int64)
    ordinals[order] = runs + 1
    return ordinals


def _counting(users: Counts, slices: Counts, *, first: Flags) -> Flags:
    """Return for each event whether its user counts: one of those who were first met in the same slice.

    Users' numbers are as good as hashes, for they are as random.
    """
    those = np.flatnonzero(first)
    order = those[np.lexsort((users[those], slices[those]))]
    chosen = users[order[np.diff(slices[order], prepend=-1) > 0]]
    return np.isin(users, chosen)
