"""Who counts as alive, with every moment given."""

from __future__ import annotations

from schemas.events import Presence
from streams.fleet.roster import Roster

DEAF_SECONDS = 4.0


def presence(worker_id: str, *, revision: int = 0, life: str = "1") -> Presence:
    return Presence(worker_id=worker_id, flags_revision=revision, started_at=life, seen_at=life, expires_seconds=6.0)


def heard(roster: Roster, worker_id: str, now: float, *, age_seconds: float = 0.0, life: str = "1") -> None:
    roster.hear(worker_id, presence(worker_id, life=life), now=now, age_seconds=age_seconds)


def test_a_worker_is_alive_until_it_was_not_heard_of_for_too_long() -> None:
    roster = Roster(DEAF_SECONDS)
    heard(roster, "a", 0.0)
    for now in (2.0, 4.0, 6.0):
        heard(roster, "b", now)
    assert set(roster.live(6.0)) == {"a", "b"}
    assert set(roster.live(6.1)) == {"b"}


def test_the_next_death_is_that_of_who_was_silent_for_longest() -> None:
    roster = Roster(DEAF_SECONDS)
    heard(roster, "a", 0.0)
    heard(roster, "b", 2.0)
    assert roster.next_death(3.0) == 3.0
    assert Roster(DEAF_SECONDS).next_death(3.0) == float("inf")


def test_a_clean_stop_is_believed_at_once() -> None:
    roster = Roster(DEAF_SECONDS)
    heard(roster, "a", 0.0)
    roster.hear("a", None, now=0.1)
    roster.hear("nobody we knew", None, now=0.1)
    assert not roster.live(0.1)


def test_what_stood_there_before_we_listened_is_judged_by_its_own_age() -> None:
    roster = Roster(DEAF_SECONDS)
    heard(roster, "long gone", 100.0, age_seconds=3_600.0)
    heard(roster, "here", 100.0, age_seconds=5.0)
    heard(roster, "its clock is ahead", 100.0, age_seconds=-50.0)
    assert set(roster.live(100.0)) == {"here", "its clock is ahead"}
    heard(roster, "we", 101.5)
    assert set(roster.live(101.5)) == {"its clock is ahead", "we"}


def test_a_silence_of_all_is_ours_and_kills_nobody() -> None:
    roster = Roster(DEAF_SECONDS)
    for worker in ("we", "other"):
        heard(roster, worker, 0.0)
    assert set(roster.live(60.0)) == {"we", "other"}
    heard(roster, "we", 60.0)  # the broker is back
    assert set(roster.live(62.0)) == {"we", "other"}
    for now in (62.0, 64.0, 66.0):
        heard(roster, "we", now)
    assert set(roster.live(66.1)) == {"we"}


def test_who_died_before_a_silence_stays_dead_after_it() -> None:
    roster = Roster(DEAF_SECONDS)
    heard(roster, "dead", 0.0)
    for now in (3.0, 6.5):
        heard(roster, "we", now)
    assert set(roster.live(60.0)) == {"we"}
    heard(roster, "we", 60.0)
    assert set(roster.live(60.0)) == {"we"}


def test_an_old_record_read_again_ages_nobody() -> None:
    roster = Roster(DEAF_SECONDS)
    heard(roster, "a", 10.0)
    heard(roster, "a", 10.1, age_seconds=5.9)
    heard(roster, "we", 13.0)
    assert set(roster.live(16.0)) == {"a", "we"}


def test_the_next_life_of_a_worker_counts_from_its_own_first_word() -> None:
    roster = Roster(DEAF_SECONDS)
    heard(roster, "a", 10.0)
    heard(roster, "a", 10.1, age_seconds=7.0, life="2")
    assert not roster.live(10.1)
