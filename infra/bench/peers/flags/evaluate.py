"""Asks the same two questions of our flags and of four SDKs, in turn, in one process, and prints what each answer took.

Who asks is the same user every time, and each library is asked in the way that costs it least: contexts are made once.
All decide in the process, from rules that were loaded before; none has a network, none sends events or counts.

Takes ROUNDS and prints one JSON object: by question and library, microseconds a round. Our packages must be on
PYTHONPATH.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import mmh3
from growthbook import GrowthBook
from ldclient import Context, LDClient
from ldclient.config import Config
from ldclient.integrations import Files
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider
from yggdrasil_engine.engine import UnleashEngine

from flags.evaluation import Snapshot
from schemas.events import Condition, FlagChange, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    Ask = Callable[[str, str], Callable[[], bool]]
    """From a user and their plan to a question that can be asked again and again."""

PERCENTAGE, TARGETING = "percentage", "targeting"
"""On for 25 % of the users; on for two plans, off for everybody else."""
PLANS = ("gold", "staff")
QUARTER = 25

USERS = 4_000
TOLERATED = 0.03
BLOCK_SECONDS = 0.004


def ours(question: str) -> Ask:
    """Ask `flags.evaluation`."""
    rule = Rule(conditions=(Condition(attribute="plan", operator="in", values=PLANS),))
    share = {PERCENTAGE: (QUARTER, ()), TARGETING: (0, (rule,))}[question]
    change = FlagChange(
        name="asked",
        enabled=True,
        rollout_percentage=share[0],
        rules=share[1],
        revision=1,
        changed_by="bench",
        changed_at="now",
    )
    enabled = Snapshot(changes={"asked": change}).enabled

    def ask(user: str, plan: str) -> Callable[[], bool]:
        attributes = {"plan": plan}
        return lambda: enabled("asked", user, attributes)

    return ask


def openfeature_in_memory(question: str) -> Ask:
    """Ask the OpenFeature SDK with its in-memory provider; percentages and rules are its user's code, so this is it."""

    def percentage(_flag: InMemoryFlag[bool], context: EvaluationContext) -> FlagResolutionDetails[bool]:
        inside = mmh3.hash(f"asked.{context.targeting_key}", signed=False) * 100 >> 32 < QUARTER
        return FlagResolutionDetails(inside, reason=Reason.SPLIT, variant="on" if inside else "off")

    def targeting(_flag: InMemoryFlag[bool], context: EvaluationContext) -> FlagResolutionDetails[bool]:
        inside = context.attributes["plan"] in PLANS
        return FlagResolutionDetails(inside, reason=Reason.TARGETING_MATCH, variant="on" if inside else "off")

    evaluator = {PERCENTAGE: percentage, TARGETING: targeting}[question]
    flag = InMemoryFlag("off", {"on": True, "off": False}, context_evaluator=evaluator)
    api.set_provider_and_wait(InMemoryProvider({"asked": flag}), domain=question)
    client = api.get_client(question)

    def ask(user: str, plan: str) -> Callable[[], bool]:
        context = EvaluationContext(user, {"plan": plan})
        return lambda: client.get_boolean_value("asked", False, context)  # noqa: FBT003 - the SDK's own order

    return ask


def growthbook(question: str) -> Ask:
    """Ask GrowthBook; its attributes are an instance's, so that a new user costs more than is measured here."""
    rule = {
        PERCENTAGE: {"force": True, "coverage": QUARTER / 100, "hashAttribute": "id"},
        TARGETING: {"force": True, "condition": {"plan": {"$in": list(PLANS)}}},
    }[question]
    features = {"asked": {"defaultValue": False, "rules": [rule]}}

    def ask(user: str, plan: str) -> Callable[[], bool]:
        book = GrowthBook(attributes={"id": user, "plan": plan}, features=features)
        return lambda: book.is_on("asked")

    return ask


def unleash_yggdrasil(question: str) -> Ask:
    """Ask the engine that the Unleash SDK asks; the SDK around it costs more."""
    constraint = {"contextName": "plan", "operator": "IN", "values": list(PLANS)}
    strategy = {
        PERCENTAGE: {
            "name": "flexibleRollout",
            "parameters": {"rollout": str(QUARTER), "stickiness": "userId", "groupId": "asked"},
        },
        TARGETING: {"name": "default", "constraints": [constraint]},
    }[question]
    state = {"version": 1, "features": [{"name": "asked", "enabled": True, "strategies": [strategy]}]}
    engine = UnleashEngine()
    engine.take_state(json.dumps(state))

    def ask(user: str, plan: str) -> Callable[[], bool]:
        context = {"userId": user, "properties": {"plan": plan}}
        return lambda: engine.check_enabled("asked", context).is_enabled

    return ask


def launchdarkly(question: str) -> Ask:
    """Ask LaunchDarkly's SDK over its file data source; its test data knows no percentages."""
    on, off = 0, 1
    weights = [{"variation": on, "weight": QUARTER * 1_000}, {"variation": off, "weight": (100 - QUARTER) * 1_000}]
    clause = {"contextKind": "user", "attribute": "plan", "op": "in", "values": list(PLANS)}
    said: dict[str, dict[str, object]] = {
        PERCENTAGE: {"fallthrough": {"rollout": {"contextKind": "user", "variations": weights}}},
        TARGETING: {
            "rules": [{"id": "plans", "clauses": [clause], "variation": on}],
            "fallthrough": {"variation": off},
        },
    }
    flag: dict[str, object] = {
        "key": "asked",
        "version": 1,
        "on": True,
        "salt": "asked",
        "offVariation": off,
        "variations": [True, False],
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "flags.json"
        file.write_text(json.dumps({"flags": {"asked": flag | said[question]}}))
        source = Files.new_data_source(paths=[str(file)], auto_update=False)
        client = LDClient(Config("no-key", update_processor_class=source, send_events=False), start_wait=5)

    def ask(user: str, plan: str) -> Callable[[], bool]:
        context = Context.builder(user).set("plan", plan).build()
        return lambda: client.variation("asked", context, False)  # noqa: FBT003 - the SDK's own order

    return ask


LIBRARIES = (ours, openfeature_in_memory, growthbook, unleash_yggdrasil, launchdarkly)


def check(question: str, ask: Ask) -> None:
    """Make sure that a library decides what is asked of it.

    Raises:
        SystemExit: It does not.
    """
    if question == TARGETING:
        decided = [ask("ada", plan)() for plan in (*PLANS, "free")]
        right = decided == [True, True, False]
    else:
        share = sum(ask(f"user-{number}", "free")() for number in range(USERS)) / USERS
        right = abs(share - QUARTER / 100) < TOLERATED
    if not right:
        raise SystemExit(f"it does not decide the {question} that it is asked for")


def microseconds(question: Callable[[], bool], asked: int) -> float:
    """Return what one answer takes, the loop around it included, as for everybody."""
    times = range(asked)
    begun = time.perf_counter()
    for _ in times:
        question()
    return (time.perf_counter() - begun) / asked * 1e6


def main(rounds: int) -> None:
    """Measure, round by round, everybody in each, and print."""
    logging.disable(logging.CRITICAL)
    questions: dict[str, tuple[Callable[[], bool], int]] = {}
    for question in (PERCENTAGE, TARGETING):
        for library in LIBRARIES:
            ask = library(question)
            check(question, ask)
            asked = ask("user-7231", "gold")
            warm = microseconds(asked, 500)
            questions[f"{question}.{library.__name__}"] = asked, max(100, int(BLOCK_SECONDS * 1e6 / warm))
    results: dict[str, list[float]] = {name: [] for name in questions}
    for _ in range(rounds):
        for name, (asked, times) in questions.items():
            results[name].append(microseconds(asked, times))
    print(json.dumps(results))


if __name__ == "__main__":
    main(int(sys.argv[1]))
