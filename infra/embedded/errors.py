"""Why an embedded server could not be started; each message is one sentence that says what to do."""

from __future__ import annotations

from schemas.errors import UnavailableError


class EmbeddedServerError(UnavailableError):
    """An embedded server is not there; the message says what to do."""


class MissingProgramError(EmbeddedServerError):
    """Java, Maven or a server's package is missing or too old."""


class DownloadError(EmbeddedServerError):
    """Maven could not bring Kafka's jars."""


class PortInUseError(EmbeddedServerError):
    """Someone else listens where the server should."""


class FolderInUseError(EmbeddedServerError):
    """Another process of ours runs a server on the same folder."""


class DiskFullError(EmbeddedServerError):
    """There is no room for the server's data."""


class ServerDiedError(EmbeddedServerError):
    """The server ended, or never answered, while it was being started."""


class StartCancelledError(EmbeddedServerError):
    """The server was stopped before it had started."""


class OldBrokerError(UnavailableError):
    """The broker named in the settings lacks what exactly-once needs."""

    exit_code = 78
