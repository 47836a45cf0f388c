"""Every setting, typed, in one tree: from the environment (`INTENTSTREAM_SECTION__NAME`), else a file, else here.

A variable that is empty, as Compose files leave those nobody set, counts as not set. `schemas.settings_loading` reads
them.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from schemas.privacy import Privacy
from schemas.redaction import DEFAULT_RULES, Rules, rule_faults
from schemas.secret_files import SecretFiles
from schemas.server_settings import Acls, Embedded, Kafka, Postgres, Redis, Remote
from schemas.settings_section import Section, checked_address
from schemas.tokens import Token, check_holders
from schemas.zero_shot import ZeroShot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic.fields import FieldInfo

PREFIX = "INTENTSTREAM_"
FILE_VARIABLE = "INTENTSTREAM_FILE"
DEFAULT_FILE = "intentstream.toml"


class Topics(Section):
    """How `topics apply` creates topics."""

    partitions: int = Field(8, ge=1, le=10_000, description="Of utterances, results, feedback and dead letters.")
    replication_factor: int = Field(1, ge=1, le=10, description="Copies of each record; 3 in production.")
    min_insync_replicas: int = Field(1, ge=1, le=10, description="Copies that must be there to accept a record.")
    max_record_bytes: int = Field(
        1_048_588, ge=131_072, description="Of a batch of records, and so of an utterance; Kafka's own default."
    )


class Worker(Section):
    """One worker process."""

    id: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-1",
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="Static group member and transactional id, which no two live workers may share; left out: "
        "the host's name and `-1`.",
    )
    group_id: str = Field(
        "intentstream", pattern=r"^[A-Za-z0-9._-]{1,200}$", description="The consumer group that shares the partitions."
    )
    presence_seconds: float = Field(
        2.0,
        ge=0.2,
        le=60,
        description="How often it says that it is there; silent for three times as long, it is dead.",
    )


class Intake(Section):
    """How batches are fetched and committed."""

    max_batch_records: int = Field(10_000, ge=1, le=100_000, description="The most that one transaction answers.")
    target_batch_seconds: float = Field(0.1, gt=0, le=10, description="Batches are sized to take about this long.")
    session_timeout_seconds: float = Field(6.0, ge=6, le=300, description="The broker's minimum is 6 by default.")
    transaction_timeout_seconds: float = Field(5.0, ge=1, le=300, description="Keep it below the session timeout.")
    drain_seconds: float = Field(3.0, ge=0, le=60, description="For batches in flight when partitions are revoked.")
    max_text_characters: int = Field(4_096, ge=1, le=100_000, description="Longer texts become dead letters.")
    at_least_once: bool = Field(
        default=False,
        description="Write answers without transactions: cheaper, and after a fault some come twice.",
    )
    brown_out_after_seconds: float = Field(
        5.0, ge=0, description="Utterances waiting longer make adaptive routing ask the rules alone; 0: never."
    )
    review_below_confidence: float = Field(0.5, ge=0, le=1, description="Less sure answers are sent to review.")


class Chain(Section):
    """The tiers and the guards around them."""

    tier_deadline_seconds: float = Field(2.0, gt=0, le=60, description="Of one tier's call on one batch.")
    breaker_failures: int = Field(3, ge=1, description="Failures in a row that open a tier's breaker.")
    breaker_open_seconds: float = Field(5.0, gt=0, description="Until a half-open breaker tries one call.")
    sure_confidence: float | None = Field(
        None, ge=0, le=1, description="A tier less sure than this asks the next; left out: fitted for each tier."
    )
    out_of_scope_confidence: float | None = Field(
        None, ge=0, le=1, description="Nothing likelier than this: out of scope; left out: fitted for each tier."
    )
    tolerated_loss: float = Field(
        0.001, ge=0, le=1, description="Accuracy that adaptive routing may give up against the best tier, fitting."
    )
    escalated_share: float | None = Field(
        None, ge=0, le=1, description="The share of texts that may go on from the rules, instead of `tolerated_loss`."
    )
    out_of_scope_loss: float = Field(
        0.015, ge=0, le=1, description="Right answers that may be given up to tell what is out of scope, fitting."
    )


class Models(Section):
    """What the tiers are made of."""

    catalogue: Path | None = Field(None, description="A YAML file of intents; left out: the one we ship.")
    threads: int = Field(2, ge=1, le=256, description="How many run a model's graph, each its own share of a batch.")
    promise: float | None = Field(
        None, ge=0.5, le=0.999, description="Of what needs no review, so much is to be right; left out: no promise."
    )
    store: str | None = Field(
        None,
        description="An fsspec URL: the folder that releases are pushed to; left out: `releases` in the state folder.",
    )
    max_release_bytes: int = Field(
        4 * 1024**3, ge=1_048_576, description="Of a release that is fetched; a larger one is refused."
    )


class Cache(Section):
    """Answers remembered in this process and in Redis."""

    local_entries: int = Field(20_000, ge=0, description="Answers that this process remembers; 0: none.")
    redis_timeout_seconds: float = Field(0.05, gt=0, le=5, description="Of one question for a whole batch.")
    ttl_seconds: int = Field(86_400, ge=1, description="How long Redis remembers an answer.")


class Sink(Section):
    """What keeps results and feedback in Postgres, to be asked for."""

    enabled: bool = Field(default=True, description="Whether this worker may be the one that writes them.")
    retention_days: int = Field(30, ge=1, le=3_650, description="How many days are kept, today among them.")
    keep_text: bool = Field(default=False, description="Whether the texts that people correct are kept there, too.")
    batch_records: int = Field(5_000, ge=1, le=100_000, description="About the most that one transaction writes.")
    flush_seconds: float = Field(0.5, gt=0, le=60, description="How long a batch is gathered, at most.")
    deadline_seconds: float = Field(10.0, gt=0, le=300, description="Of one step of a write; then it is begun anew.")
    query_seconds: float = Field(5.0, gt=0, le=300, description="Of one question to it.")


class Learning(Section):
    """Which of people's corrections count."""

    people: int = Field(
        1, ge=1, le=100, description="How many must agree on a text where the classifier thought of that intent, too."
    )
    people_in_doubt: int = Field(
        2, ge=1, le=100, description="How many must where it did not, or where others said otherwise."
    )
    corrections_per_person: int = Field(100, ge=1, description="In `quota_seconds`; more of one person are refused.")
    quota_seconds: float = Field(3_600.0, ge=1, description="The time in which a person's corrections are counted.")
    new_intent_examples: int = Field(
        5, ge=0, le=1_000, description="How many texts teach an intent that the catalogue lacks; 0: none may be taught."
    )
    new_intent_people: int = Field(2, ge=1, le=100, description="How many people must have given those.")
    max_new_intents: int = Field(50, ge=0, le=1_000, description="How many may be taught or wait to be.")
    max_texts: int = Field(
        10_000, ge=1, le=100_000, description="How many texts are remembered; the oldest are forgotten."
    )
    retrain_after: int = Field(
        20, ge=1, le=100_000, description="So many new corrections bring the learner to try another head."
    )
    fine_tune_after: int = Field(
        100,
        ge=0,
        le=100_000,
        description="So many bring it to teach the fine-tuned network, where the extra `train` is installed; 0: never.",
    )
    traffic_texts: int = Field(
        5_000, ge=0, le=100_000, description="The latest utterances that it learns from, too, without a label; 0: none."
    )

    release_by: Literal["rollout", "shadow", "at_once"] = Field(
        "rollout",
        description="How a better head comes to serve: after a shadow run, to a growing share of the users; after that "
        "run, to all at once; or at once.",
    )
    shadow_texts: int = Field(
        300, ge=1, le=10_000_000, description="The least utterances that a shadow is asked about before it goes on."
    )
    shadow_seconds: float = Field(600.0, ge=0, description="The least time that it is asked for.")
    shadow_per_second: float = Field(
        50.0, gt=0, le=100_000, description="The most utterances that a worker asks it about in a second."
    )
    rollout_users: int = Field(
        1_000,
        ge=0,
        le=20_000,
        description="Where a shadow heard fewer users than this, a rollout would show nothing: all get it.",
    )
    rollout_step_seconds: float = Field(600.0, ge=0, description="The least time at each step of its rollout.")
    rollout_step_utterances: int = Field(
        1_000, ge=1, description="The least utterances at each step, with it and without."
    )
    trial_seconds: float = Field(
        259_200.0, ge=1, description="A shadow and rollout that have not come to an end by then are given up."
    )


class Review(Section):
    """What people are asked to look at."""

    sample_share: float = Field(
        0.001, ge=0, le=1, description="The share of utterances that people are asked about by chance, for estimates."
    )
    most_per_second: float = Field(
        100.0,
        ge=0,
        description="Unsure and out-of-scope answers that a worker asks about in a second of the stream's time; "
        "what is chosen by chance comes on top.",
    )
    text: bool = Field(
        default=True, description="Whether review requests have the text, redacted; false: they have none."
    )
    redactions: Rules = Field(
        DEFAULT_RULES,
        description="What is taken out of that text, in this order: pairs of an RE2 pattern and what stands in its "
        "place, as JSON in the environment.",
    )

    @field_validator("redactions")
    @classmethod
    def _can_be_applied(cls, rules: Rules) -> Rules:
        if faults := rule_faults(rules):
            raise PydanticCustomError("redactions", "{faults}", {"faults": "; ".join(faults)})
        return rules


class Web(Section):
    """The HTTP server of a worker."""

    host: str = Field("127.0.0.1", description="The address it listens on; 0.0.0.0: all of them.")
    port: int = Field(8001, ge=0, le=65_535, description="0: any free port.")
    max_request_bytes: int = Field(65_536, ge=1_024, description="Larger requests are refused.")
    max_request_seconds: float = Field(
        10.0,
        gt=0,
        le=300,
        description="In which a new connection's first headers, and any request's body, must arrive.",
    )
    requests_per_second: float = Field(
        0.0,
        ge=0,
        le=1_000_000,
        description="How often each caller may ask, in the long run; more is answered 429; 0: as often as they like.",
    )
    burst_requests: int = Field(
        100, ge=1, le=1_000_000, description="How many each may ask at once before that; a console needs 50."
    )
    max_connections: int = Field(768, ge=1, description="Open at once; one more is answered 503 and closed.")
    max_waiting_requests: int = Field(1_024, ge=1, description="More that wait to be classified are refused with 503.")
    max_consoles: int = Field(16, ge=1, description="Open at once at this worker; one more is refused with 503.")


class Access(Section):
    """Who may read and change flags, correct answers and see the console, over HTTP."""

    tokens: dict[str, Token] = Field(
        {},
        description="By their holder's name, each a `secret` and `scopes` (`flags:read`, `flags:write`, "
        "`feedback:write`, `models:read`, `models:write`, `results:read`, `console:read`, `dead-letters:replay`): "
        "JSON in the environment, `[access.tokens.NAME]` in the file; none: only callers on this machine are let in.",
    )

    @field_validator("tokens")
    @classmethod
    def _each_says_who(cls, tokens: dict[str, Token]) -> dict[str, Token]:
        check_holders(tokens)
        return tokens


class Logs(Section):
    """What a worker says on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Less than this is not said.")
    format: Literal["auto", "json", "text"] = Field("auto", description="auto: text on a terminal, else JSON.")


class Tracing(Section):
    """Spans, for the utterances whose producers trace them."""

    endpoint: str | None = Field(
        None,
        description="http://host:4318 of a collector that speaks OTLP over HTTP; left out: none is made. "
        "Needs the extra `tracing`.",
    )
    max_utterances: int = Field(128, ge=1, le=10_000, description="Of one batch that get a span; the others get none.")

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        return checked_address(url)


class Settings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    state_folder: Path = Field(Path(".intentstream"), description="Prepared models and the embedded servers' data.")
    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    acls: Acls = Acls()
    worker: Worker = Worker()
    intake: Intake = Intake()
    chain: Chain = Chain()
    models: Models = Models()
    zero_shot: ZeroShot = ZeroShot()
    remote: Remote = Remote()
    cache: Cache = Cache()
    redis: Redis = Redis()
    postgres: Postgres = Postgres()
    sink: Sink = Sink()
    learning: Learning = Learning()
    review: Review = Review()
    privacy: Privacy = Privacy()
    web: Web = Web()
    access: Access = Access()
    embedded: Embedded = Embedded()
    logs: Logs = Logs()
    tracing: Tracing = Tracing()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the environment before files of secrets, and these before the file of settings."""
        toml = TomlConfigSettingsSource(settings_cls, toml_file=settings_file())
        return init_settings, env_settings, SecretFiles(settings_cls), toml

    @property
    def kafka_servers(self) -> str:
        """Return where the broker is: the one named, else the embedded one."""
        return self.kafka.bootstrap_servers or f"127.0.0.1:{self.embedded.kafka_port}"

    @property
    def redis_url(self) -> str:
        """Return where Redis is: the one named, else the embedded one."""
        return self.redis.address or f"redis://127.0.0.1:{self.embedded.redis_port}/0"

    @property
    def postgres_dsn(self) -> str:
        """Return where Postgres is: the one named, else the embedded one."""
        embedded = f"postgresql://intentstream@127.0.0.1:{self.embedded.postgres_port}/intentstream"
        return self.postgres.address or embedded


def settings_file() -> Path:
    """Return where the file is, or would be."""
    return Path(os.environ.get(FILE_VARIABLE) or DEFAULT_FILE)


def setting_fields(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield every setting of the tree with its path, such as `("kafka", "sasl_username")`."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from setting_fields(kind, (*path, name))
        else:
            yield (*path, name), field


def variable_name(path: Iterable[object]) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + "__".join(str(part).upper() for part in path)
