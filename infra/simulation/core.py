"""Loads the core's own source a second time, beside what runs it, with the simulation's clock and threads under it.

Not one line of it is another; nothing of the modules that everybody else imports is touched. A test of the simulation
itself may have single places of the source replaced, to see whether that is noticed.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from infra.simulation.threading import ThreadingModule, TimeModule
from infra.simulation.world import Thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.simulation.world import Process, World

MODULES = (
    "streams.batches",
    "streams.transactions",
    "streams.membership",
    "streams.exchange",
    "streams.intake",
    "models.breaker",
    "models.walk",
    "models.chain",
)
"""Each stands behind those that it imports."""


_PACKAGE = "simulated"


class Mutation(NamedTuple):
    """One place of the core, made wrong."""

    module: str
    old: str
    new: str


class Core:
    """A copy of the core, used by one run after another.

    Args:
        mutation: What is to be wrong with it.

    Attributes:
        world: The run that uses it.
        process: Whose threads are made next.
    """

    world: World
    process: Process

    def __init__(self, mutation: Mutation | None = None) -> None:
        self._modules: dict[str, ModuleType] = {}
        for name in MODULES:
            self._modules[name] = self._load(
                name, mutation if mutation is not None and mutation.module == name else None
            )
        vars(self._modules["streams.intake"])["DaemonThread"] = lambda _name: Thread(self.process)

    def of(self, module: str, name: str) -> Any:
        """Return what a module calls so."""
        return getattr(self._modules[module], name)

    def _load(self, name: str, mutation: Mutation | None) -> ModuleType:
        module = ModuleType(f"{_PACKAGE}.{name}")
        sys.modules[module.__name__] = module  # dataclasses look themselves up there
        exec(_code(name, mutation), module.__dict__)  # noqa: S102 - our own source
        names = vars(module)
        for each, value in list(names.items()):
            origin = self._modules.get(getattr(value, "__module__", None) or "")
            if origin is not None and hasattr(origin, each):
                names[each] = getattr(origin, each)
        stand_ins = {"threading": ThreadingModule(self), "time": TimeModule(self), "_log": _Silent()}
        names.update({each: stand_in for each, stand_in in stand_ins.items() if each in names})
        return module


@cache
def load_core(mutation: Mutation | None = None) -> Core:
    """Return the copy of the core that has this mutation."""
    logging.getLogger(_PACKAGE).setLevel(logging.CRITICAL + 1)
    return Core(mutation)


class _Silent:
    """A log that nobody reads."""

    def __getattr__(self, _level: str) -> Callable[..., None]:
        return _say_nothing


@cache
def _code(name: str, mutation: Mutation | None) -> CodeType:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ImportError(f"There is no source of {name}.")
    source = Path(spec.origin).read_text("utf-8")
    if mutation is not None:
        if source.count(mutation.old) != 1:
            raise ValueError(f"{name} says {source.count(mutation.old)} times, and not once: {mutation.old}")
        source = source.replace(mutation.old, mutation.new)
    return compile(source, spec.origin, "exec", dont_inherit=True)


def _say_nothing(*_words: object, **_fields: object) -> None:
    pass
