"""What every section of the settings is, and how those that are URLs and certificates are checked and put together."""

from __future__ import annotations

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


def with_parameters(url: SecretStr, **parameters: str) -> str:
    """Return a URL with parameters of its query set, whatever it says of them itself."""
    parts = urlsplit(url.get_secret_value())
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in parameters]
    return urlunsplit(parts._replace(query=urlencode([*query, *parameters.items()])))
