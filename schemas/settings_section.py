"""What every section of the settings is, and how those that are URLs and certificates are checked and put together."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, SecretStr
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from pathlib import Path


class Section(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def checked_url(url: SecretStr | None, schemes: tuple[str, ...]) -> SecretStr | None:
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


def checked_address(url: str | None) -> str | None:
    """Return the URL of an HTTP server, which is no secret, without the slash at its end.

    Raises:
        PydanticCustomError: It is none, or has a user or a query, which might be.
    """
    if url is None:
        return None
    checked_url(SecretStr(url), ("http", "https"))
    if not urlsplit(url).hostname or "@" in url or "?" in url or "#" in url:
        raise PydanticCustomError("url", "Input should be a URL like http://host:port, without user or query")
    return url.rstrip("/")


def checked_authorities(path: Path | None) -> Path | None:
    """Return the path of a PEM file of certificates.

    Raises:
        PydanticCustomError: It is none, or cannot be read.
    """
    if path is not None:
        try:
            ssl.create_default_context(cafile=path)
        except OSError as error:  # ssl.SSLError is one
            raise PydanticCustomError("authorities", "Input should be a PEM file of certificates") from error
    return path


CERTIFICATE = "PEM file of the certificate that we show, with those between it and its authority; left out: none."
KEY = "PEM file of its key; left out: it is in the certificate's file."
KEY_PASSWORD = "What that key is encrypted with."  # noqa: S105 - what it means


def check_key_pair(certificate: Path | None, key: Path | None, password: SecretStr | None) -> None:
    """Make sure that a certificate of ours can be shown.

    Raises:
        PydanticCustomError: A file cannot be read, the key is another's, or its password is wrong or missing.
    """
    if certificate is None:
        if key is not None or password is not None:
            raise PydanticCustomError("key_pair", "A key is for a certificate: set ssl_certificate_location")
        return
    for path in (certificate, key or certificate):
        if not os.access(path, os.R_OK) or not path.is_file():
            raise PydanticCustomError("key_pair", "{path} is no file that can be read", {"path": str(path)})
    secret = "" if password is None else password.get_secret_value()
    try:  # called for a password always, for OpenSSL would ask the terminal
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password=lambda: secret)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; too long a password is a ValueError
        raise PydanticCustomError(
            "key_pair",
            "ssl_certificate_location and ssl_key_location should be PEM files of a certificate and its key, and "
            "ssl_key_password that key's if it has one",
        ) from error


def with_parameters(url: SecretStr, **parameters: str) -> str:
    """Return a URL with parameters of its query set, whatever it says of them itself; without any, as it is."""
    if not parameters:
        return url.get_secret_value()
    parts = urlsplit(url.get_secret_value())
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in parameters]
    return urlunsplit(parts._replace(query=urlencode([*query, *parameters.items()])))
