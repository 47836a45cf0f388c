"""One HTTP server, spoken to through a bounded pool. What it answers is bounded in time and size, and never quoted."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp

from models.prediction import TierFailedError, TierTimeoutError
from models.remote.retrying import TransientError, retried

if TYPE_CHECKING:
    from schemas.server_settings import Remote

MOST_DESCRIBED_BYTES = 1 << 20
"""Of what a server says of itself: thousands of labels fit."""

_WORTH_A_RETRY = frozenset(
    {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE},
)


class ServerClient:
    """Connects when it is first used, on the event loop that does so."""

    def __init__(self, settings: Remote, *, seconds: float) -> None:
        """Take where the server is.

        Args:
            settings: With a `url`.
            seconds: For a request with all its retries: no more than whoever waits for it has.
        """
        self._settings = settings
        self._seconds = seconds
        self._request_seconds = min(settings.timeout_seconds, seconds)
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str) -> bytes:
        """Return what is at a path.

        Raises:
            TierFailedError: It could not be fetched.
        """
        return await self._retried("GET", path, None, MOST_DESCRIBED_BYTES)

    async def post(self, path: str, body: bytes, *, most_bytes: int = MOST_DESCRIBED_BYTES) -> bytes:
        """Return the answer to a JSON body; asking must change nothing on the server, for it may be done twice.

        Args:
            path: After the server's URL.
            body: JSON.
            most_bytes: A longer answer is not read to its end.

        Raises:
            TierFailedError: There is none.
        """
        return await self._retried("POST", path, body, most_bytes)

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _retried(self, method: str, path: str, body: bytes | None, most_bytes: int) -> bytes:
        return await retried(
            lambda: self._sent(method, path, body, most_bytes), retries=self._settings.retries, seconds=self._seconds
        )

    async def _sent(self, method: str, path: str, body: bytes | None, most_bytes: int) -> bytes:
        """Send one request. A fault's message names what went wrong, never what the server said about it."""
        try:
            async with self._opened().request(
                method, f"{self._settings.url}{path}", data=body, allow_redirects=False
            ) as response:
                _check(response)
                return await _bounded(response, most_bytes)
        except TimeoutError as error:
            raise TierTimeoutError(f"its server did not answer within {self._request_seconds:g} s") from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise TierFailedError("its server's certificate is not to be trusted") from error
        except aiohttp.ClientConnectorError as error:
            raise TransientError(f"its server cannot be reached ({_os_error(error.os_error)})") from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            raise TransientError("the connection to its server was lost") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise TierFailedError(f"what its server answers is no HTTP ({type(error).__name__})") from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Compressed, a short answer may hold a long one.
            headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
            if self._settings.token is not None:
                headers["Authorization"] = f"Bearer {self._settings.token.get_secret_value()}"
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._settings.connections),
                timeout=aiohttp.ClientTimeout(total=self._request_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=headers,
                auto_decompress=False,
            )
        return self._session


def _check(response: aiohttp.ClientResponse) -> None:
    """Raise what a status other than 200 says."""
    if response.status == HTTPStatus.OK:
        return
    reason = f"its server answers {response.status} to {response.url.path}"
    if response.status in _WORTH_A_RETRY:
        raise TransientError(reason, pause_seconds=_seconds(response.headers.get("Retry-After", "")))
    raise TierFailedError(reason)


async def _bounded(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most_bytes:
            raise TierFailedError(f"its server answers more than {most_bytes:,} bytes")
    return bytes(body)


def _seconds(retry_after: str) -> float:
    """Read a pause in seconds; one given as a date is left to our own."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0


def _os_error(error: OSError) -> str:
    return error.strerror or type(error).__name__
