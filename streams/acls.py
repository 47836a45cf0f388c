"""What each role may do on the broker, and what gives just that to the principals that the settings name.

Nothing is ever taken away: who gave a right by hand may have meant it. What goes beyond the table is named.
"""

from __future__ import annotations

import enum
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from flags.admin import why_failed
from schemas.errors import InvalidSettingsError, UnavailableError
from streams.topics import (
    DEAD_LETTERS,
    FEEDBACK,
    FLAGS,
    FLAGS_AUDIT,
    RESULTS,
    TOPICS,
    UTTERANCES,
    WORKERS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from confluent_kafka.admin import AdminClient

    from schemas.server_settings import Principals
    from schemas.settings import Settings

_TIMEOUT_SECONDS = 30.0
_POLL_SECONDS = 0.05
_CLUSTER = "kafka-cluster"
"""How Kafka names the one resource of its kind."""

_ONLOOKERS = ("intentstream-flags", "intentstream-evidence", "intentstream-onlooker")
"""Groups in whose name logs are read that nobody joins and nothing is committed to; librdkafka looks for them."""

_READ, _WRITE = AclOperation.READ, AclOperation.WRITE
_CHANGE = (AclOperation.CREATE, AclOperation.ALTER, AclOperation.ALTER_CONFIGS)


class Role(enum.StrEnum):
    """What somebody is to this stream; each is a list of principals in the settings."""

    WORKERS = "workers"
    PRODUCERS = "producers"
    CONSUMERS = "consumers"
    CORRECTORS = "correctors"
    FLAG_WRITERS = "flag_writers"
    ADMINS = "admins"


class Right(NamedTuple):
    """One operation on one resource, or on all whose names begin so."""

    kind: ResourceType
    name: str
    operation: AclOperation
    prefix: bool = False


class Granting(enum.StrEnum):
    """What `apply_acls` did about one right, or found."""

    GRANTED = "granted"
    BEYOND = "beyond the table"


class Grant(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One right of one principal that the broker lacks, or has without our asking."""

    principal: str
    action: Granting
    resource: str
    operation: str

    def __str__(self) -> str:
        return f"{self.principal}: {self.action.value}: {self.operation} {self.resource}"


def rights_of(role: Role, principal: str, group_id: str) -> Iterator[Right]:
    """Yield what a role needs, and no more.

    Args:
        role: Which.
        principal: Who has it, such as `User:shop`; a consumer's groups are named after it.
        group_id: The workers' group, after which their other groups and transactions are named.
    """
    every_topic = [spec.name for spec in TOPICS]
    if role is Role.WORKERS:
        yield from _on_topics(every_topic, _READ, _WRITE, AclOperation.DESCRIBE_CONFIGS)
        yield from _on_groups(group_id)
        yield Right(ResourceType.TRANSACTIONAL_ID, f"{group_id}.", _WRITE, prefix=True)
    elif role is Role.PRODUCERS:
        yield from _on_topics([UTTERANCES], _WRITE)
    elif role is Role.CONSUMERS:
        yield from _on_topics([RESULTS], _READ)
        yield from _on_groups(principal.partition(":")[2])
    elif role is Role.CORRECTORS:
        yield from _on_topics([FEEDBACK], _WRITE)
    elif role is Role.FLAG_WRITERS:
        yield from _on_topics([FLAGS, FLAGS_AUDIT], _READ, _WRITE)
        yield from _on_topics([WORKERS], _READ)  # to say when all of them obey
        yield from _on_topics([DEAD_LETTERS], _WRITE)  # where a record goes that was no change of a flag
        yield Right(ResourceType.TRANSACTIONAL_ID, f"{group_id}.flags-writer", _WRITE)
        yield from _looking_on()
    else:
        yield from _on_topics(every_topic, _READ, _WRITE, AclOperation.DESCRIBE_CONFIGS, *_CHANGE)
        yield from _on_groups(group_id)
        yield Right(ResourceType.TRANSACTIONAL_ID, f"{group_id}.", _WRITE, prefix=True)
        for operation in (AclOperation.DESCRIBE, AclOperation.ALTER):  # which is how rights are read and given
            yield Right(ResourceType.BROKER, _CLUSTER, operation)


def _on_topics(names: Iterable[str], *operations: AclOperation) -> Iterator[Right]:
    return (Right(ResourceType.TOPIC, name, operation) for name in names for operation in operations)


def _on_groups(name: str) -> Iterator[Right]:
    """Yield the rights to a group of a name, to those whose names go on with a dot, and to look on."""
    yield Right(ResourceType.GROUP, name, _READ)
    yield Right(ResourceType.GROUP, f"{name}.", _READ, prefix=True)
    yield from _looking_on()


def _looking_on() -> Iterator[Right]:
    return (Right(ResourceType.GROUP, name, AclOperation.DESCRIBE) for name in _ONLOOKERS)


def apply_acls(admin: AdminClient, settings: Settings, *, dry_run: bool = False) -> list[Grant]:
    """Give every principal of the settings the rights of its role.

    Args:
        admin: A client of the broker, whose own principal may alter the cluster.
        settings: Who is what, and what the workers' group is called.
        dry_run: Say what would be given, and give nothing.

    Returns:
        What was lacking, and what those principals may do on our topics beyond their roles.

    Raises:
        InvalidSettingsError: A consumer's groups would be the workers'.
        UnavailableError: The broker is away, asks nobody for rights, or does not let us.
    """
    wanted = _wanted(settings)
    try:
        existing = _existing(admin)
        lacking = sorted(wanted - existing)
        if lacking and not dry_run:
            _give(admin, lacking)
    except KafkaException as error:
        raise UnavailableError(f"The broker's rights could not be applied: {_why(admin, error)}") from error
    beyond = [each for each in existing - wanted if _is_ours(each, {binding.principal for binding in wanted})]
    return [_grant(each, Granting.GRANTED) for each in lacking] + [
        _grant(each, Granting.BEYOND) for each in sorted(beyond)
    ]


_ANY = AclBindingFilter(
    ResourceType.ANY,
    None,  # type: ignore[arg-type]  # which is how the client says any
    ResourcePatternType.ANY,
    None,  # type: ignore[arg-type]  # likewise
    None,  # type: ignore[arg-type]  # likewise
    AclOperation.ANY,
    AclPermissionType.ANY,
)


def _existing(admin: AdminClient) -> set[AclBinding]:
    return set(admin.describe_acls(_ANY, request_timeout=_TIMEOUT_SECONDS).result(_TIMEOUT_SECONDS))


def _give(admin: AdminClient, lacking: list[AclBinding]) -> None:
    """Give rights, and return when the broker goes by them, which is a moment after it has said that they are kept.

    Raises:
        KafkaException: It did not take them.
        UnavailableError: It took them, and does not go by them.
    """
    for answer in admin.create_acls(lacking, request_timeout=_TIMEOUT_SECONDS).values():
        answer.result(_TIMEOUT_SECONDS)
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while not _existing(admin).issuperset(lacking):
        if time.monotonic() > deadline:
            raise UnavailableError("The broker has taken the rights and does not go by them yet: look again later.")
        time.sleep(_POLL_SECONDS)


def _wanted(settings: Settings) -> set[AclBinding]:
    group_id = settings.worker.group_id
    bindings: set[AclBinding] = set()
    for role in Role:
        principals: Principals = getattr(settings.acls, role.value)
        for principal in principals:
            if role is Role.CONSUMERS and principal.partition(":")[2] == group_id:
                raise InvalidSettingsError(
                    f"The consumer {principal} is named as the workers' group, which only workers may join: "
                    "name it otherwise, or change INTENTSTREAM_WORKER__GROUP_ID."
                )
            bindings.update(_binding(principal, right) for right in rights_of(role, principal, group_id))
    return bindings


def _binding(principal: str, right: Right) -> AclBinding:
    pattern = ResourcePatternType.PREFIXED if right.prefix else ResourcePatternType.LITERAL
    return AclBinding(right.kind, right.name, pattern, principal, "*", right.operation, AclPermissionType.ALLOW)


def _is_ours(binding: AclBinding, principals: set[str]) -> bool:
    """Return whether it allows somebody of ours something on one of our topics."""
    return (
        binding.permission_type is AclPermissionType.ALLOW
        and binding.restype is ResourceType.TOPIC
        and binding.principal in principals
        and any(spec.name.startswith(binding.name.rstrip("*")) for spec in TOPICS)
    )


def _grant(binding: AclBinding, action: Granting) -> Grant:
    # Their types allow for names and numbers, too, of which the client makes what they are here.
    kind, pattern = ResourceType(binding.restype), ResourcePatternType(binding.resource_pattern_type)
    return Grant(
        principal=binding.principal,
        action=action,
        resource=("cluster" if kind is ResourceType.BROKER else f"{kind.name.lower()} {binding.name}")
        + ("*" if pattern is ResourcePatternType.PREFIXED else ""),
        operation=AclOperation(binding.operation).name,
    )


def _why(admin: AdminClient, error: KafkaException) -> str:
    if error.args[0].code() == KafkaError.SECURITY_DISABLED:
        return "it has no authorizer, and so lets everybody do everything; see authorizer.class.name."
    return why_failed(admin, error)
