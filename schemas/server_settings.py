"""The settings of the servers that a worker talks to: where each is, and how we prove who we are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from schemas.settings_section import (
    CERTIFICATE,
    KEY,
    KEY_PASSWORD,
    Section,
    check_key_pair,
    checked_address,
    checked_authorities,
    checked_url,
    with_parameters,
)


class Kafka(Section):
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
    ssl_certificate_location: Path | None = Field(None, description=CERTIFICATE)
    ssl_key_location: Path | None = Field(None, description=KEY)
    ssl_key_password: SecretStr | None = Field(None, description=KEY_PASSWORD)

    @model_validator(mode="after")
    def _shows_a_certificate_over_tls(self) -> Self:
        check_key_pair(self.ssl_certificate_location, self.ssl_key_location, self.ssl_key_password)
        if self.ssl_certificate_location and not self.security_protocol.endswith("SSL"):
            raise PydanticCustomError("kafka", "A certificate is for the security_protocol SSL or SASL_SSL")
        return self


Principals = tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z]+:[^\s]+$", max_length=255)], ...]
"""Of Kafka, such as `User:worker`."""


class Acls(Section):
    """Who `topics apply --acls` gives the rights of which role; each a list of principals such as `User:worker`."""

    workers: Principals = Field((), description="Classify, and do what people ask of a worker over HTTP.")
    producers: Principals = Field((), description="Publish utterances.")
    consumers: Principals = Field(
        (), description="Read results, in groups named as they are, or as they are and a dot and more."
    )
    correctors: Principals = Field((), description="Send corrections.")
    flag_writers: Principals = Field((), description="Read and change flags from the command line.")
    admins: Principals = Field((), description="Make topics, give rights, and do all the rest from the command line.")


class Redis(Section):
    """The shared cache."""

    url: SecretStr | None = Field(None, description="redis://…, or rediss://… for TLS; left out: the embedded server.")
    ssl_ca_location: Path | None = Field(
        None, description="PEM file of the authorities to trust; left out: those of the machine."
    )
    ssl_certificate_location: Path | None = Field(None, description=CERTIFICATE)
    ssl_key_location: Path | None = Field(None, description=KEY)
    ssl_key_password: SecretStr | None = Field(None, description=KEY_PASSWORD)

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: SecretStr | None) -> SecretStr | None:
        return checked_url(url, ("redis", "rediss", "unix"))

    @field_validator("ssl_ca_location")
    @classmethod
    def _has_authorities(cls, path: Path | None) -> Path | None:
        return checked_authorities(path)

    @model_validator(mode="after")
    def _speaks_tls(self) -> Self:
        check_key_pair(self.ssl_certificate_location, self.ssl_key_location, self.ssl_key_password)
        secured = self.url is not None and self.url.get_secret_value().startswith("rediss://")
        if (self.ssl_ca_location or self.ssl_certificate_location) and not secured:
            raise PydanticCustomError("redis", "Authorities and certificates are for a url like rediss://host:port")
        return self

    @property
    def address(self) -> str | None:
        """Return the URL, with whom to trust and who we are; None: the embedded server is meant."""
        if self.url is None:
            return None
        parameters: dict[str, str] = {}
        if self.ssl_ca_location:
            trust = {"ssl_ca_certs": str(self.ssl_ca_location), "ssl_cert_reqs": "required"}
            parameters |= trust | {"ssl_check_hostname": "true"}
        if self.ssl_certificate_location:
            key = self.ssl_key_location or self.ssl_certificate_location
            parameters |= {"ssl_certfile": str(self.ssl_certificate_location), "ssl_keyfile": str(key)}
        if self.ssl_key_password:
            parameters["ssl_password"] = self.ssl_key_password.get_secret_value()
        return with_parameters(self.url, **parameters)


class Postgres(Section):
    """The queryable memory."""

    dsn: SecretStr | None = Field(None, description="postgresql://…; left out: the embedded server.")
    ssl_ca_location: Path | None = Field(
        None,
        description="PEM file of the authorities to trust, and then no connection is made that is not TLS with a "
        "certificate of theirs for that host; left out: `sslmode` of the dsn decides.",
    )
    ssl_certificate_location: Path | None = Field(None, description=CERTIFICATE)
    ssl_key_location: Path | None = Field(None, description=KEY)
    ssl_key_password: SecretStr | None = Field(None, description=KEY_PASSWORD)

    @field_validator("dsn")
    @classmethod
    def _is_url(cls, dsn: SecretStr | None) -> SecretStr | None:
        return checked_url(dsn, ("postgresql", "postgres"))

    @field_validator("ssl_ca_location")
    @classmethod
    def _has_authorities(cls, path: Path | None) -> Path | None:
        return checked_authorities(path)

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        check_key_pair(self.ssl_certificate_location, self.ssl_key_location, self.ssl_key_password)
        if self.ssl_ca_location and self.dsn is None:
            raise PydanticCustomError("postgres", "Authorities are for a server that the dsn names")
        if self.ssl_certificate_location and self.ssl_ca_location is None:
            # asyncpg shows none where sslmode is below `require`, as it is by default.
            raise PydanticCustomError("postgres", "A certificate is for a server that ssl_ca_location trusts")
        return self

    @property
    def address(self) -> str | None:
        """Return the DSN, with whom to trust and who we are; None: the embedded server is meant."""
        if self.dsn is None:
            return None
        parameters: dict[str, str] = {}
        if self.ssl_ca_location:
            parameters |= {"sslmode": "verify-full", "sslrootcert": str(self.ssl_ca_location)}
        if self.ssl_certificate_location:
            key = self.ssl_key_location or self.ssl_certificate_location
            parameters |= {"sslcert": str(self.ssl_certificate_location), "sslkey": str(key)}
        if self.ssl_key_password:
            parameters["sslpassword"] = self.ssl_key_password.get_secret_value()
        return with_parameters(self.dsn, **parameters)


_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SERVED_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$"


class Remote(Section):
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
        return checked_address(url)

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.kind != "none" and self.url is None:
            raise PydanticCustomError("remote", "A remote model needs the url of its server")
        if self.kind == "torchserve" and urlsplit(self.url).hostname not in _LOOPBACK:
            raise PydanticCustomError(
                "remote", "TorchServe is no longer maintained: its url may only name this machine, such as 127.0.0.1"
            )
        return self


class Embedded(Section):
    """The servers that `intentstream up` starts where none is named."""

    kafka_port: int = Field(9092, ge=1, le=65_535, description="Of the embedded Kafka.")
    redis_port: int = Field(16379, ge=1, le=65_535, description="Of the embedded Redis.")
    postgres_port: int = Field(15432, ge=1, le=65_535, description="Of the embedded Postgres.")
