"""The one table of topics, and what brings a broker in line with it.

Topics are created, never auto-created: a misspelt name must fail, and partitions, retention and compaction are
decisions. `apply_topics` is idempotent; every start-up calls it.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from flags.admin import ask_for_topics, why_failed
from schemas.errors import UnavailableError
from schemas.events import (
    Challenge,
    Confirmation,
    Correction,
    CorrectionVerdict,
    FlagChange,
    ForgetRequest,
    Lesson,
    ModelRelease,
    PersonKey,
    Presence,
    Result,
    ReviewRequest,
    ShadowReport,
    TrialVerdict,
    Utterance,
    Withdrawal,
)
from streams.clients import MAX_RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from concurrent.futures import Future
    from typing import Any

    from schemas.settings import Topics

UTTERANCES = "intents.utterances.v1"
RESULTS = "intents.results.v1"
FEEDBACK = "intents.feedback.v1"
FLAGS = "intents.flags.v1"
FLAGS_AUDIT = "intents.flags-audit.v1"
MODELS = "intents.models.v1"
CORRECTIONS = "intents.corrections.v1"
CORRECTIONS_AUDIT = "intents.corrections-audit.v1"
KEYS = "intents.keys.v1"
WORKERS = "intents.workers.v1"
DEAD_LETTERS = "intents.deadletter.v1"

_DAY_MS = 24 * 3600 * 1000
_TIMEOUT_SECONDS = 30.0

KEYS_COMPACTION_SECONDS = 3_600
"""How old a record that another stands for may become before the broker is to take it away."""


class TopicSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    Attributes:
        key: What the record's key is, for a person.
        partitions: A fixed number, or None for the setting `topics.partitions`.
        retention_ms: How long records are kept; -1 for ever; None where compaction decides.
        compaction_seconds: How long a record that another stands for may stay, at most; None: the broker's choice.
        max_record_bytes: Of one record batch; None for the setting `topics.max_record_bytes`.
        events: The types of the values; none: bytes that are no event.
    """

    name: str
    key: str
    description: str
    partitions: int | None = None
    retention_ms: int | None = None
    compacted: bool = False
    compaction_seconds: int | None = None
    max_record_bytes: int | None = None
    events: tuple[type, ...] = ()

    def config(self, topics: Topics) -> dict[str, str]:
        """Return the topic's configuration as Kafka names it."""
        config = {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "min.insync.replicas": str(topics.min_insync_replicas),
            "max.message.bytes": str(self.max_record_bytes or topics.max_record_bytes),
        }
        if self.compaction_seconds is not None:
            config["max.compaction.lag.ms"] = str(self.compaction_seconds * 1000)
        if self.retention_ms is not None:
            config["retention.ms"] = str(self.retention_ms)
        return config


TOPICS: tuple[TopicSpec, ...] = (
    TopicSpec(
        name=UTTERANCES,
        key="conversation, else user, else id",
        description="What producers publish.",
        retention_ms=7 * _DAY_MS,
        events=(Utterance,),
    ),
    TopicSpec(
        name=RESULTS,
        key="the utterance's key, on the utterance's partition",
        description="One answer for each utterance.",
        retention_ms=30 * _DAY_MS,
        events=(Result,),
    ),
    TopicSpec(
        name=FEEDBACK,
        key="utterance id",
        description="Review requests from the classifier; corrections and confirmations from people.",
        retention_ms=730 * _DAY_MS,
        events=(ReviewRequest, Correction, Confirmation, ForgetRequest),
    ),
    TopicSpec(
        name=FLAGS,
        key="flag name",
        description="The flags changelog: the latest state of each flag.",
        partitions=1,
        compacted=True,
        events=(FlagChange,),
    ),
    TopicSpec(
        name=FLAGS_AUDIT,
        key="flag name",
        description="Every flag change there ever was.",
        partitions=1,
        retention_ms=-1,
        events=(FlagChange,),
    ),
    TopicSpec(
        name=MODELS,
        key="model name, or model name/release",
        description="Which release of each model is to be served, and which there are.",
        partitions=1,
        compacted=True,
        events=(ModelRelease,),
    ),
    TopicSpec(
        name=CORRECTIONS,
        key="hash of the text",
        description="What people's corrections teach, text by text: what every worker remembers.",
        partitions=1,
        compacted=True,
        events=(Lesson,),
    ),
    TopicSpec(
        name=CORRECTIONS_AUDIT,
        key="utterance id, or the lesson's key",
        description="What the guard made of each correction, what it took back, how tried releases fared, and why.",
        partitions=1,
        retention_ms=-1,
        events=(CorrectionVerdict, Withdrawal, Challenge, ShadowReport, TrialVerdict),
    ),
    TopicSpec(
        name=WORKERS,
        key="worker id",
        description="Presence of workers; a clean stop deletes the record.",
        partitions=1,
        compacted=True,
        events=(Presence,),
    ),
    TopicSpec(
        name=KEYS,
        key="keyed hash of the person's id",
        description="Each person's latest key, wrapped, or that it is destroyed; nothing, where no text is sealed.",
        partitions=1,
        compacted=True,
        compaction_seconds=KEYS_COMPACTION_SECONDS,
        events=(PersonKey,),
    ),
    TopicSpec(
        name=DEAD_LETTERS,
        key="the original key",
        description="Records that could not be processed, unchanged, with why in their headers.",
        retention_ms=30 * _DAY_MS,
        max_record_bytes=MAX_RECORD_BYTES,
    ),
)


class Action(enum.StrEnum):
    """What `apply_topics` did, or refused to do, about one difference."""

    CREATED = "created"
    GREW = "grew"
    ALTERED = "altered"
    REFUSED = "refused"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference between the table and the broker.

    Attributes:
        config: Which configuration differs; None: the topic itself, or its partitions.
    """

    topic: str
    action: Action
    what: str
    config: str | None = None

    def __str__(self) -> str:
        return f"{self.topic}: {self.action.value}: {self.what}"


def apply_topics(admin: AdminClient, topics: Topics, *, dry_run: bool = False) -> list[Change]:
    """Create what is missing and mend what differs; do nothing that would lose records or order.

    Args:
        admin: A client of the broker.
        topics: Partitions, replication, sizes.
        dry_run: Say what would be done, and do nothing.

    Returns:
        One change a difference; none when the broker agrees with the table. Those refused are left as they are: the
        table asks for less than there is, fewer partitions or shorter retention, or we may read and not change them.

    Raises:
        UnavailableError: The broker is away or refused.
    """
    try:
        existing = {
            name: len(topic.partitions)
            for name, topic in ask_for_topics(admin, _TIMEOUT_SECONDS).items()
            if topic.error is None
        }
        configs = _configs(admin, [spec.name for spec in TOPICS if spec.name in existing])
        changes = _plan(existing, configs, topics)
        if not dry_run:
            changes = _carry_out(admin, changes, _partitions_wanted(existing, topics), topics)
    except KafkaException as error:
        raise UnavailableError(f"The broker could not be asked about its topics: {why_failed(admin, error)}") from error
    return changes


def _partitions_wanted(existing: Mapping[str, int], topics: Topics) -> dict[str, int]:
    """Return how many partitions each topic should have.

    Results stand on their utterance's partition, so where somebody gave the utterances more, results follow.
    """
    wanted = {spec.name: spec.partitions or topics.partitions for spec in TOPICS}
    wanted[RESULTS] = max(wanted[RESULTS], existing.get(UTTERANCES, 0))
    return wanted


def _plan(existing: Mapping[str, int], configs: Mapping[str, dict[str, str]], topics: Topics) -> list[Change]:
    wanted = _partitions_wanted(existing, topics)
    changes = []
    for spec in TOPICS:
        if spec.name not in existing:
            what = f"{wanted[spec.name]} partitions, replication {topics.replication_factor}"
            changes.append(Change(topic=spec.name, action=Action.CREATED, what=what))
            continue
        changes += _plan_partitions(spec.name, existing[spec.name], wanted[spec.name])
        changes += _plan_config(spec, configs[spec.name], topics)
    return changes


def _plan_partitions(name: str, there: int, wanted: int) -> list[Change]:
    if there < wanted:
        what = f"{there} to {wanted} partitions (keys move to other partitions from here on)"
        return [Change(topic=name, action=Action.GREW, what=what)]
    if there > wanted:
        what = (
            f"it has {there} partitions and the settings ask for {wanted}; Kafka cannot take partitions away. "
            f"Set INTENTSTREAM_TOPICS__PARTITIONS={there}"
        )
        return [Change(topic=name, action=Action.REFUSED, what=what)]
    return []


def _plan_config(spec: TopicSpec, there: Mapping[str, str], topics: Topics) -> list[Change]:
    changes = []
    for name, value in spec.config(topics).items():
        now = there.get(name, "")
        if now == value:
            continue
        shrinks = name == "retention.ms" and (int(now) == -1 or 0 <= int(value) < int(now))
        action = Action.REFUSED if shrinks else Action.ALTERED
        what = f"{name}: {now} to {value}" + (" would delete records; set it by hand if you mean it" if shrinks else "")
        changes.append(Change(topic=spec.name, action=action, what=what, config=name))
    return changes


def _configs(admin: AdminClient, names: Iterable[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    answers = admin.describe_configs(resources, request_timeout=_TIMEOUT_SECONDS)
    return {
        resource.name: {name: entry.value for name, entry in answer.result(_TIMEOUT_SECONDS).items()}
        for resource, answer in answers.items()
    }


def _carry_out(admin: AdminClient, changes: list[Change], wanted: Mapping[str, int], topics: Topics) -> list[Change]:
    """Return the changes with those refused that the broker does not let us make.

    A topic that we may not create keeps us waiting until somebody else has.
    """
    specs = {spec.name: spec for spec in TOPICS}
    created = [
        NewTopic(
            change.topic,
            num_partitions=wanted[change.topic],
            replication_factor=topics.replication_factor,
            config=specs[change.topic].config(topics),
        )
        for change in changes
        if change.action is Action.CREATED
    ]
    grown = [NewPartitions(change.topic, wanted[change.topic]) for change in changes if change.action is Action.GREW]
    altered: defaultdict[str, list[ConfigEntry]] = defaultdict(list)
    for change in changes:
        if change.action is Action.ALTERED and change.config is not None:
            value = specs[change.topic].config(topics)[change.config]
            altered[change.topic].append(ConfigEntry(change.config, value, incremental_operation=AlterConfigOpType.SET))
    denied: set[tuple[str, bool]] = set()
    if created:
        _wait(admin.create_topics(created, operation_timeout=_TIMEOUT_SECONDS), fine="TOPIC_ALREADY_EXISTS")
    if grown:
        growing = admin.create_partitions(grown, operation_timeout=_TIMEOUT_SECONDS)
        denied |= {(topic, False) for topic in _wait(growing, fine="INVALID_PARTITIONS", may_deny=True)}
    if altered:
        resources = [
            ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries) for name, entries in altered.items()
        ]
        altering = admin.incremental_alter_configs(resources)
        denied |= {(resource.name, True) for resource in _wait(altering, may_deny=True)}
    return [_refused(change) if _is_denied(change, denied) else change for change in changes]


def _is_denied(change: Change, denied: Iterable[tuple[str, bool]]) -> bool:
    return change.action is not Action.CREATED and (change.topic, change.config is not None) in denied


def _refused(change: Change) -> Change:
    what = f"{change.what}; the broker does not let us: have somebody run `topics apply` who may"
    return msgspec.structs.replace(change, action=Action.REFUSED, what=what)


def _wait(answers: Mapping[Any, Future[Any]], fine: str | None = None, *, may_deny: bool = False) -> list[Any]:
    """Wait for each answer, and return what was denied us.

    Args:
        answers: By what was asked for.
        fine: The one error that another start-up beside ours may cause.
        may_deny: Whether the broker may say that we lack the right.
    """
    denied = []
    for asked, answer in answers.items():
        try:
            answer.result(_TIMEOUT_SECONDS)
        except KafkaException as error:
            if may_deny and error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                denied.append(asked)
            elif error.args[0].name() != fine:
                raise
    return denied
