"""Judges the release that is tried, in one worker of the fleet: whether it is rolled out, promoted or withdrawn.

All it knows is read from the logs, and each act is a record on one; who takes over goes on from what stands there. The
rollout itself is run by whoever runs the flags' (`streams.rollouts`); here it is begun, and acted on when it has ended.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Protocol

import structlog

from flags.acts import Author, latest, rfc3339
from flags.edits import Edit
from flags.rollouts.acts import UNDER_WAY, start
from models.release import DISAGREEMENT, FALL
from schemas.errors import IntentStreamError, UnavailableError, UnknownFlagError
from schemas.events import TrialVerdict
from streams.fleet.duty import DutyObserver, DutyThread
from streams.learning.guard import is_learning
from streams.learning.learner import BY as LEARNER
from streams.learning.network_watch import BY as NETWORK_LEARNER
from streams.results import timestamp
from streams.rollouts import utc_now
from streams.trials.decision import Act, Limits, Step, decide, tolerated_differences
from streams.trials.evidence import Seen
from streams.trials.flag import flag_of, is_candidates_flag, plan_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from flags.acts import Log
    from flags.evaluation import Snapshot
    from schemas.events import FlagChange, ModelRelease, Trial
    from schemas.settings import Learning
    from streams.fleet.duty import Term
    from streams.fleet.election import Election
    from streams.release_acts import ReleaseActs
    from streams.trials.reader import TrialReader

_log = structlog.get_logger(__name__)

CONTROLLER = "trial-controller"
"""Who promotes and withdraws, as the logs name it."""

_LOOK_SECONDS = 0.5
_MAX_REASON_CHARACTERS = 2_000


class TrialsObserver(DutyObserver, Protocol):
    """Who counts and shows. Called on the runner's thread; must not block."""

    def trial_ended(self, code: str) -> None:
        """Count what came of a stage of a trial."""


class TrialRunner:
    """Judges, on a thread, while this worker is the one elected to.

    Args:
        settings: What is asked of a candidate.
        new_election: Makes our candidacy.
        new_reader: Makes what reads the evidence.
        tried: Returns the release that is tried, or whose trial is still to be noted as ended, as followed here.
        acts: Read and write the releases' log.
        flag_log: Reads and writes the flags'.
        flags: Returns the flags as they stand here.
        record: Writes a verdict to the audit.
        wait_for_flags: Returns whether the flags have been read to their end, waiting so many seconds at most.
        worker_id: Who we are.
        observer: Who counts.
        clock: Returns the time, with its zone.
    """

    def __init__(
        self,
        settings: Learning,
        *,
        new_election: Callable[[], Election],
        new_reader: Callable[[], TrialReader],
        tried: Callable[[], ModelRelease | None],
        acts: ReleaseActs,
        flag_log: Log,
        flags: Callable[[], Snapshot],
        record: Callable[[TrialVerdict], None],
        wait_for_flags: Callable[[float], bool],
        worker_id: str,
        observer: TrialsObserver,
        clock: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        self._settings = settings
        self._new_reader = new_reader
        self._tried = tried
        self._acts = acts
        self._flag_log = flag_log
        self._flags = flags
        self._record = record
        self._worker_id = worker_id
        self._observer = observer
        self._clock = clock
        self._said = ""
        self._thread = DutyThread(
            "trials", self, new_election=new_election, wait_for_flags=wait_for_flags, observer=observer
        )

    def start(self) -> None:
        """Become a candidate, on a thread that keeps no process from ending."""
        self._thread.start()

    def stop(self) -> None:
        """Let another take over at once; started or not."""
        self._thread.stop()
        self._acts.close()

    # The duty, on that thread.

    def is_due(self) -> bool:
        """Return whether anything is tried, or was and has left its flag."""
        return self._tried() is not None or any(map(is_candidates_flag, self._flags().names))

    def work(self, term: Term) -> None:
        """Look, and act, for as long as there is anything to look at."""
        with self._new_reader() as reader:
            while term.lasts(_LOOK_SECONDS):
                try:
                    self._look(reader)
                except UnavailableError:
                    raise
                except IntentStreamError as error:  # somebody else was faster; the next look shows what is now
                    _log.warning("trial_not_moved", code=error.code, reason=str(error))

    def rest(self) -> None:
        """Have nothing to show."""

    def _look(self, reader: TrialReader) -> None:
        log = self._acts.read()
        if (overtaken := log.overtaken_trial) is not None:
            self._withdraw(overtaken, "overtaken", "Something else came to serve than it was compared with.", Seen())
        record = log.trial
        self._tidy(record)
        if record is None or record.trial is None:
            return
        trial = record.trial
        stood = (self._clock() - dt.datetime.fromisoformat(trial.began_at)).total_seconds()
        if trial.began_by in {LEARNER, NETWORK_LEARNER} and not is_learning(self._flags()):
            self._withdraw(record, "learning_is_off", "feedback_learning was switched off.", Seen())
        elif trial.stage == "shadow":
            self._judge(record, trial, reader, stood)
        else:
            self._follow_rollout(record, stood)

    def _judge(self, record: ModelRelease, trial: Trial, reader: TrialReader, stood: float) -> None:
        evidence = reader.evidence(record, trial.began_at)
        if evidence is None:
            return
        settings, seen = self._settings, evidence.seen()
        limits = Limits(
            texts=settings.shadow_texts,
            seconds=settings.shadow_seconds,
            users=settings.rollout_users if settings.release_by == "rollout" else None,
            different=tolerated_differences(record.metrics.get(DISAGREEMENT)),
            patience_seconds=settings.trial_seconds,
            falls={name.removeprefix(FALL): left for name, left in record.metrics.items() if name.startswith(FALL)},
        )
        step = decide(seen, limits, stood)
        self._say(record, step)
        if step.act is Act.WITHDRAW:
            self._withdraw(record, step.code, step.reason, seen)
        elif step.act is Act.PROMOTE:
            self._promote(record, step.reason, seen)
        elif step.act is Act.ROLL_OUT:
            self._acts.roll_out(record.name, record.release, by=CONTROLLER, reason=_short(step.reason))
            self._note(record, "shadow", step.code, step.reason, seen)

    def _follow_rollout(self, record: ModelRelease, stood: float) -> None:
        """Begin the rollout, or act on what has come of it."""
        name = flag_of(record)
        flag = latest(self._flag_log, name)
        if flag is None:
            flag = self._flag_log.write(
                Edit(
                    name=name,
                    fields={"enabled": False, "description": f"Answers with {record.release} of {record.name}."},
                    create=True,
                    changed_by=CONTROLLER,
                    reason=_short(record.reason),
                    expected_revisions={0},
                )
            )
        rollout = flag.rollout
        if flag.killed:
            self._withdraw(record, "aborted", f"Its flag was killed: {flag.reason}", Seen(), flag)
        elif rollout is None:
            self._flag_log.write(start(flag, plan_of(self._settings), self._author(record.reason)))
        elif rollout.state == "finished":
            self._promote(record, f"Its rollout has come to everybody: {flag.reason}", Seen(), flag)
        elif rollout.state not in UNDER_WAY:
            code = "breached" if rollout.state == "rolled_back" else "aborted"
            self._withdraw(record, code, f"Its rollout has ended: {flag.reason}", Seen(), flag)
        elif stood >= self._settings.trial_seconds:
            reason = f"After {stood:,.0f} s its rollout stands at {flag.rollout_percentage:g} %."
            self._withdraw(record, "given_up", reason, Seen(), flag)

    def _promote(self, record: ModelRelease, reason: str, seen: Seen, flag: FlagChange | None = None) -> None:
        self._acts.promote(record.name, record.release, by=CONTROLLER, reason=_short(reason))
        self._note(record, _stage_of(record), "promoted", reason, seen)
        if flag is not None:
            self._remove(flag.name, "It serves everybody now.")

    def _withdraw(
        self, record: ModelRelease, code: str, reason: str, seen: Seen, flag: FlagChange | None = None
    ) -> None:
        self._acts.withdraw(record.name, record.release, by=CONTROLLER, reason=_short(reason))
        self._note(record, _stage_of(record), code, reason, seen)
        if flag is not None:
            self._remove(flag.name, "It serves nobody any more.")

    def _tidy(self, record: ModelRelease | None) -> None:
        """Remove the flags of what is not tried any more."""
        kept = None if record is None else flag_of(record)
        for name in self._flags().names:
            if is_candidates_flag(name) and name != kept:
                self._remove(name, "What it is about is not tried any more.")

    def _remove(self, name: str, reason: str) -> None:
        try:
            self._flag_log.write(Edit(name=name, delete=True, changed_by=CONTROLLER, reason=reason))
        except UnknownFlagError:
            return  # it is gone already

    def _note(self, record: ModelRelease, stage: str, code: str, reason: str, seen: Seen) -> None:
        self._observer.trial_ended(code)
        _log.info("trial_ended", model=record.name, release=record.release, stage=stage, code=code, why=reason)
        self._record(
            TrialVerdict(
                model=record.name,
                release=record.release,
                stage="rollout" if stage == "rollout" else "shadow",
                code=code,
                reason=reason,
                texts=seen.texts,
                different=seen.different,
                judged_by=self._worker_id,
                judged_at=timestamp(time.time()),
            )
        )

    def _say(self, record: ModelRelease, step: Step) -> None:
        """Log what is news: not each text more."""
        news = f"{record.release} {step.act} {step.code}"
        if news != self._said:
            self._said = news
            _log.info("trial_judged", model=record.name, release=record.release, act=step.act.value, why=step.reason)

    def _author(self, reason: str) -> Author:
        return Author(changed_by=CONTROLLER, reason=_short(reason), now=rfc3339(self._clock()))


def _stage_of(record: ModelRelease) -> str:
    return "shadow" if record.trial is None else record.trial.stage


def _short(reason: str) -> str:
    return reason[:_MAX_REASON_CHARACTERS]
