"""The compose file and the worker's image, read as compose and the builder read them, for tests without either."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import yaml

from infra.generate import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPOSE_FILE = ROOT / "docker-compose.prod.yml"
DOCKERFILE = ROOT / "infra" / "docker" / "Dockerfile"

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<word>[^}]*))?\}")


def services(variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the services by name.

    Args:
        variables: What `.env` says.

    Raises:
        KeyError: The file demands another one.
    """

    def value(found: re.Match[str]) -> str:
        if found["kind"] == "-":
            return variables.get(found["name"]) or found["word"]
        return variables[found["name"]]

    document: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(value, COMPOSE_FILE.read_text()))
    found: dict[str, dict[str, Any]] = document["services"]
    return found


def demanded() -> set[str]:
    """Return the variables without which compose starts nothing."""
    return {found["name"] for found in _VARIABLE.finditer(COMPOSE_FILE.read_text()) if found["kind"] == "?"}


class Image:
    """What the last stage of the worker's Dockerfile says.

    Attributes:
        stages: The images that the stages begin with.
        environment: What `ENV` sets.
        user: Who runs it.
        command: What is run.
        health_check: What is asked, as an argument list.
    """

    def __init__(self) -> None:
        said = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
        self.stages = re.findall(r"^FROM (\S+)", said, re.MULTILINE)
        last = "FROM" + said.rpartition("\nFROM")[2]
        lines = [line for line in last.splitlines() if not line.startswith("#")]
        self.environment = dict(
            pair.split("=", 1) for line in lines if line.startswith("ENV ") for pair in shlex.split(line[4:])
        )
        self.user = next(line.split()[1] for line in lines if line.startswith("USER "))
        self.command = [*_list_of(lines, "ENTRYPOINT "), *_list_of(lines, "CMD ")]
        self.health_check = _list_of(lines, "HEALTHCHECK ")


def _list_of(lines: list[str], instruction: str) -> list[str]:
    line = next(line for line in lines if line.startswith(instruction))
    words: list[str] = json.loads(line[line.index("[") :])
    return words
