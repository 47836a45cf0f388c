"""Every setting, typed, in one tree: from the environment (`INTENTSTREAM_SECTION__NAME`), else a TOML file, else here.

A variable that is empty, as Compose files leave those nobody set, counts as not set. `schemas.settings_loading` reads
them.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from schemas.tokens import Token, check_holders

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic.fields import FieldInfo

PREFIX = "INTENTSTREAM_"
FILE_VARIABLE = "INTENTSTREAM_FILE"
DEFAULT_FILE = "intentstream.toml"


class _Section(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Kafka(_Section):
    """The broker."""

    bootstrap_servers: str | None = Field(None, description="host:port,…; left out: the embedded broker.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Whether the line is encrypted, and whether we log in."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How we log in, where the protocol says that we do."
    )
    sasl_username: str | None = Field(None, description="Who we log in as.")
    sasl_password: SecretStr | None = Field(None, description="What we prove it with.")
    ssl_ca_location: Path | None = Field(None, description="PEM file of the authorities to trust.")


class Topics(_Section):
    """How `topics apply` creates topics."""

    partitions: int = Field(8, ge=1, le=10_000, description="Of utterances, results, feedback and dead letters.")
    replication_factor: int = Field(1, ge=1, le=10, description="Copies of each record; 3 in production.")
    min_insync_replicas: int = Field(1, ge=1, le=10, description="Copies that must be there to accept a record.")
    max_record_bytes: int = Field(
        1_048_588, ge=131_072, description="Of a batch of records, and so of an utterance; Kafka's own default."
    )


class Worker(_Section):
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


class Intake(_Section):
    """How batches are fetched and committed."""

    max_batch_records: int = Field(10_000, ge=1, le=100_000, description="The most that one transaction answers.")
    target_batch_seconds: float = Field(0.1, gt=0, le=10, description="Batches are sized to take about this long.")
    session_timeout_seconds: float = Field(6.0, ge=6, le=300, description="The broker's minimum is 6 by default.")
    transaction_timeout_seconds: float = Field(5.0, ge=1, le=300, description="Keep it below the session timeout.")
    drain_seconds: float = Field(3.0, ge=0, le=60, description="For batches in flight when partitions are revoked.")
    max_text_characters: int = Field(4_096, ge=1, le=100_000, description="Longer texts become dead letters.")
    brown_out_after_seconds: float = Field(
        5.0, ge=0, description="Utterances waiting longer make adaptive routing ask the rules alone; 0: never."
    )
    review_below_confidence: float = Field(0.5, ge=0, le=1, description="Less sure answers are sent to review.")


class Chain(_Section):
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


class Models(_Section):
    """What the tiers are made of."""

    catalogue: Path | None = Field(None, description="A YAML file of intents; left out: the one we ship.")
    threads: int = Field(2, ge=1, le=256, description="Of ONNX Runtime.")
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


_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SERVED_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$"


class Remote(_Section):
    """A server that answers for the tier `distilbert`, in place of a model in this process."""

    kind: Literal["none", "oip", "torchserve"] = Field(
        "none", description="oip: the Open Inference Protocol v2 over HTTP; torchserve: of this machine only."
    )
    url: str | None = Field(None, description="http://host:port of the server.")
    model: str = Field("distilbert", pattern=_SERVED_NAME, description="What the server calls the model.")
    version: str | None = Field(
        None, pattern=_SERVED_NAME, description="Which of its versions; left out: the server's choice."
    )
    token: SecretStr | None = Field(None, description="Sent as a bearer token.")
    release: Path | None = Field(
        None,
        description="The folder of the release that the server serves: its labels, and its tokenizer where the server "
        "takes token ids; left out: the one installed here.",
    )
    timeout_seconds: float = Field(1.0, gt=0, le=60, description="Of one request; the tier's deadline ends it, too.")
    max_batch: int = Field(32, ge=1, le=1_024, description="Texts in one request.")
    connections: int = Field(4, ge=1, le=256, description="Requests at once.")
    retries: int = Field(2, ge=0, le=10, description="Of a request that was refused or lost, within the deadline.")

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        _checked_url(SecretStr(url), ("http", "https"))
        if not urlsplit(url).hostname or "@" in url or "?" in url or "#" in url:
            raise PydanticCustomError("url", "Input should be a URL like http://host:port, without user or query")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.kind != "none" and self.url is None:
            raise PydanticCustomError("remote", "A remote model needs the url of its server")
        if self.kind == "torchserve" and urlsplit(self.url).hostname not in _LOOPBACK:
            raise PydanticCustomError(
                "remote", "TorchServe is no longer maintained: its url may only name this machine, such as 127.0.0.1"
            )
        return self


class Cache(_Section):
    """Answers remembered in this process and in Redis."""

    local_entries: int = Field(20_000, ge=0, description="Answers that this process remembers; 0: none.")
    redis_timeout_seconds: float = Field(0.05, gt=0, le=5, description="Of one question for a whole batch.")
    ttl_seconds: int = Field(86_400, ge=1, description="How long Redis remembers an answer.")


class Redis(_Section):
    """The shared cache."""

    url: SecretStr | None = Field(None, description="redis://…; left out: the embedded server.")

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: SecretStr | None) -> SecretStr | None:
        return _checked_url(url, ("redis", "rediss", "unix"))


class Postgres(_Section):
    """The queryable memory."""

    dsn: SecretStr | None = Field(None, description="postgresql://…; left out: the embedded server.")

    @field_validator("dsn")
    @classmethod
    def _is_url(cls, dsn: SecretStr | None) -> SecretStr | None:
        return _checked_url(dsn, ("postgresql", "postgres"))


class Learning(_Section):
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


class Web(_Section):
    """The HTTP server of a worker."""

    host: str = Field("127.0.0.1", description="The address it listens on; 0.0.0.0: all of them.")
    port: int = Field(8001, ge=0, le=65_535, description="0: any free port.")
    max_request_bytes: int = Field(65_536, ge=1_024, description="Larger requests are refused.")
    max_request_seconds: float = Field(10.0, gt=0, le=300, description="In which a request must have arrived.")
    max_connections: int = Field(768, ge=1, description="Open at once; one more is answered 503 and closed.")
    max_waiting_requests: int = Field(1_024, ge=1, description="More that wait to be classified are refused with 503.")
    max_consoles: int = Field(16, ge=1, description="Open at once at this worker; one more is refused with 503.")


class Access(_Section):
    """Who may read and change flags, correct answers and see the console, over HTTP."""

    tokens: dict[str, Token] = Field(
        {},
        description="By their holder's name, each a `secret` and `scopes` (`flags:read`, `flags:write`, "
        "`feedback:write`, `console:read`, `dead-letters:replay`): JSON in the environment, `[access.tokens.NAME]` in "
        "the file; none: only callers on this machine are let in.",
    )

    @field_validator("tokens")
    @classmethod
    def _each_says_who(cls, tokens: dict[str, Token]) -> dict[str, Token]:
        check_holders(tokens)
        return tokens


class Embedded(_Section):
    """The servers that `intentstream up` starts where none is named."""

    kafka_port: int = Field(9092, ge=1, le=65_535, description="Of the embedded Kafka.")
    redis_port: int = Field(16379, ge=1, le=65_535, description="Of the embedded Redis.")
    postgres_port: int = Field(15432, ge=1, le=65_535, description="Of the embedded Postgres.")


class Logs(_Section):
    """What a worker says on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Less than this is not said.")
    format: Literal["auto", "json", "text"] = Field("auto", description="auto: text on a terminal, else JSON.")


def _checked_url(url: SecretStr | None, schemes: tuple[str, ...]) -> SecretStr | None:
    """Return a URL that a client will be able to read; what is wrong is said without a word of it.

    Raises:
        PydanticCustomError: It is none, or of another scheme.
    """
    if url is None:
        return None
    try:
        parts = urlsplit(url.get_secret_value())
        # Several hosts, each with its port, are one that urlsplit cannot read and Postgres can.
        fits = parts.scheme in schemes and ("," in parts.netloc or parts.port != 0)
    except ValueError:
        fits = False
    if not fits:
        raise PydanticCustomError("url", f"Input should be a URL like {schemes[0]}://host:port")
    return url


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
    worker: Worker = Worker()
    intake: Intake = Intake()
    chain: Chain = Chain()
    models: Models = Models()
    remote: Remote = Remote()
    cache: Cache = Cache()
    redis: Redis = Redis()
    postgres: Postgres = Postgres()
    learning: Learning = Learning()
    web: Web = Web()
    access: Access = Access()
    embedded: Embedded = Embedded()
    logs: Logs = Logs()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the environment before the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=settings_file())

    @property
    def kafka_servers(self) -> str:
        """Return where the broker is: the one named, else the embedded one."""
        return self.kafka.bootstrap_servers or f"127.0.0.1:{self.embedded.kafka_port}"

    @property
    def redis_url(self) -> str:
        """Return where Redis is: the one named, else the embedded one."""
        return (
            self.redis.url.get_secret_value() if self.redis.url else f"redis://127.0.0.1:{self.embedded.redis_port}/0"
        )

    @property
    def postgres_dsn(self) -> str:
        """Return where Postgres is: the one named, else the embedded one."""
        if self.postgres.dsn:
            return self.postgres.dsn.get_secret_value()
        return f"postgresql://intentstream@127.0.0.1:{self.embedded.postgres_port}/intentstream"


def settings_file() -> Path:
    """Return where the file is, or would be."""
    return Path(os.environ.get(FILE_VARIABLE) or DEFAULT_FILE)


def setting_fields(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield every setting of the tree with its path, such as `("kafka", "sasl_username")`."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, _Section):
            yield from setting_fields(kind, (*path, name))
        else:
            yield (*path, name), field


def variable_name(path: Iterable[object]) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + "__".join(str(part).upper() for part in path)
