"""Where texts are sealed, if anywhere: `cryptography` is imported only where a setting names a master key."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mode import Service

from schemas.errors import InvalidSettingsError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flags.log_tail import TailObserver
    from schemas.cloudevents import OpenText
    from schemas.settings import Settings
    from streams.privacy.person_keys import PersonKeys


class KeysAwayError(UnavailableError):
    """It cannot be told which keys there are: the broker does not answer. Trying again later is right."""

    code = "keys_away"


def new_person_keys(
    settings: Settings,
    *,
    observer: TailObserver | None = None,
    announce: Callable[[], None] = lambda: None,
    sweeps: bool = False,
) -> PersonKeys | None:
    """Return what seals and opens texts, not started; None where the settings name no master key.

    Args:
        settings: Of everything.
        observer: Who counts.
        announce: Called after a key was destroyed; must not block.
        sweeps: Whether we see to it that destroyed keys are compacted away.

    Raises:
        InvalidSettingsError: They name one, and the extra `privacy` is not installed.
    """
    file = settings.privacy.master_key_file
    if file is None:
        return None
    try:
        from streams.privacy.person_keys import PersonKeys  # noqa: PLC0415 - who seals nothing imports nothing of it
    except ImportError as error:
        raise InvalidSettingsError(
            "INTENTSTREAM_PRIVACY__MASTER_KEY_FILE is set, and the extra `privacy` is not installed: pip install "
            "'intentstream[privacy]'."
        ) from error
    return PersonKeys(settings, file, observer=observer, announce=announce, sweeps=sweeps)


@contextmanager
def person_keys(settings: Settings) -> Iterator[PersonKeys | None]:
    """Have the keys at hand for the length of a command; None where the settings name no master key.

    Raises:
        InvalidSettingsError: They name one, and the extra `privacy` is not installed.
        UnavailableError: The broker is away.
    """
    keys = new_person_keys(settings)
    if keys is None:
        yield None
        return
    with keys:
        yield keys


def opening(keys: PersonKeys | None) -> OpenText | None:
    """Return what opens texts that have come by now; None: nobody here can."""
    return None if keys is None else keys.opening()


class Keys(Service):
    """The keys of people, followed for as long as the worker runs."""

    def __init__(self, keys: PersonKeys, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._keys = keys

    async def on_start(self) -> None:
        """Begin to follow; nothing that is sealed is fetched before they are read to their end."""
        self._keys.start()

    async def on_stop(self) -> None:
        """Let go of the broker."""
        await asyncio.to_thread(self._keys.stop)
