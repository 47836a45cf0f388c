"""What HTTP callers are answered about experiments: starting, watching, concluding, and what they may not do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from flags.api.blocking import BlockingCalls
from flags.experiments.acts import since
from flags.experiments.routes import ROOT, ExperimentRoutes
from flags.experiments.status import assessed
from flags.experiments.validation import is_running
from flags.statistics.arm import Arm
from schemas.access import Access
from schemas.tokens import Scope, Token
from tests.kit.flag_api import SECRET, WHY, Client, FlagLog, ask, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from flags.experiments.status import ExperimentStatus
    from schemas.events import FlagChange

ONE = f"{ROOT}/fast_enough"
DESIGN = {"arms": {"usual": "adaptive", "fast": "performance"}, "control": "usual"}
READER = Token(secret=SecretStr(SECRET), scopes=frozenset({Scope.FLAGS_READ}))
EVERYBODY_IS_HAPPY_WITH = 400


class Results:
    """What users have met: those of the usual arm correct each fourth answer, those of the fast one none.

    Attributes:
        behind_seconds: How far reading has come.
        effects: What was asked for.
    """

    def __init__(self) -> None:
        self.behind_seconds = 0.0
        self.effects: list[float] = []
        self.users = 0

    def look(self, flag: FlagChange, effect: float) -> ExperimentStatus:
        assert is_running(flag)
        self.effects.append(effect)
        arms = {"usual": Arm(), "fast": Arm()}
        for user in range(self.users):
            arm = arms["usual" if user % 2 else "fast"]
            arm.add(f"user-{user}", at_seconds=user, latency_seconds=0.01, cost_seconds=0.001 * (1 + user % 3))
            if user % 8 == 1:
                arm.correct(f"user-{user}", at_seconds=user)
        now = since(flag).seconds + 100
        return assessed(flag, arms, now_seconds=now, behind_seconds=self.behind_seconds, effect=effect)


@pytest.fixture
def results() -> Results:
    return Results()


@pytest.fixture
def tokens() -> dict[str, Token]:
    return {}


@pytest.fixture
async def client(tokens: dict[str, Token], results: Results) -> AsyncIterator[Client]:
    log, calls = FlagLog(), BlockingCalls("test-calls", threads=1, waiting=1, deadline_seconds=5.0)
    routes = ExperimentRoutes(
        access=Access(tokens), log=log, snapshot=lambda: log.snapshot, look=results.look, reads=calls, writes=calls
    )
    async with serving(routes) as client:
        yield client
    calls.close()


async def started(client: Client, **fields: Any) -> Any:
    status, answer = await ask(client, "POST", ONE, DESIGN | WHY | fields)
    assert status == 201, answer
    return answer


# Starting.


async def test_an_experiment_is_started_as_it_is_designed(client: Client) -> None:
    answer = await started(client, metric="cost", percentage=50, alpha=0.01)
    assert (answer["strategies"], answer["percentage"], answer["revision"]) == (DESIGN["arms"], 50, 1)
    assert (answer["changed_by"], answer["reason"], answer["assessment"]) == ("ada", "a test", None)
    experiment = answer["experiment"]
    assert (experiment["state"], experiment["control"], experiment["metric"]) == ("running", "usual", "cost")
    _, listed = await ask(client, "GET", ROOT)
    assert [each["flag"] for each in listed["experiments"]] == ["fast_enough"]


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, ["arms", "control", "reason", "changed_by"]),
        (DESIGN | {"metric": "beauty", "percentage": 101, "alpha": 2}, ["metric", "percentage", "alpha", "reason"]),
        (DESIGN | {"arms": {"usual": "cheapest"}, "colour": "red"}, ["arms", "colour", "reason"]),
        (DESIGN | {"control": "other"}, ["the control other", "reason"]),
        (DESIGN | {"arms": {"usual": "adaptive"}}, ["an experiment has 2 to 8 arms", "changed_by"]),
    ],
)
async def test_every_fault_of_a_design_is_told_at_once(client: Client, body: Any, faults: list[str]) -> None:
    status, problem = await ask(client, "POST", ONE, body)
    assert (status, problem["code"]) == (422, "invalid_flag")
    for fault in faults:
        assert any(said.startswith(fault) for said in problem["faults"]), problem["faults"]


async def test_one_experiment_runs_at_a_time_and_on_a_flag_of_its_own(client: Client) -> None:
    await started(client)
    for path, fault in (
        ("another", "the experiment fast_enough is running"),
        ("fast_enough", "it runs already"),
        ("caching", "it is no experiment"),
    ):
        status, problem = await ask(client, "POST", f"{ROOT}/{path}", DESIGN | WHY)
        assert status == 422
        assert any(said.startswith(fault) for said in problem["faults"]), problem["faults"]


# Watching.


async def test_a_look_says_verdict_sample_ratio_and_how_long_it_takes(client: Client, results: Results) -> None:
    await started(client)
    status, answer = await ask(client, "GET", ONE)
    assert (status, answer["assessment"]["verdict"], answer["behind_seconds"]) == (200, "NO WINNER YET", 0)
    assert answer["outlook"]["utterances_needed"] is None

    results.users = 2 * EVERYBODY_IS_HAPPY_WITH
    _, answer = await ask(client, "GET", f"{ONE}?effect=0.5")
    assessment, outlook = answer["assessment"], answer["outlook"]
    assert (assessment["verdict"], assessment["winner"], assessment["sample_ratio_p"]) == ("WINNER", "fast", 1.0)
    usual, fast = assessment["arms"]
    assert (usual["users"], usual["correction_rate"], fast["correction_rate"]) == (400, 0.25, 0)
    assert (usual["verdict"], fast["verdict"], fast["differences"][0]["metric"]) == (None, "WINNER", "error_rate")
    assert (outlook["effect"], outlook["utterances_seen"], outlook["utterances_a_second"]) == (0.5, 800, 8.0)
    assert outlook["utterances_needed"] > 0
    assert results.effects == [0.2, 0.5]


async def test_a_look_that_has_not_read_everything_says_so(client: Client, results: Results) -> None:
    await started(client)
    results.behind_seconds = float("inf")
    status, answer = await ask(client, "GET", ONE)
    assert (status, answer["behind_seconds"]) == (200, None)


@pytest.mark.parametrize("effect", ["0", "1", "nan", "much"])
async def test_an_effect_that_is_none_is_refused(client: Client, effect: str) -> None:
    await started(client)
    assert (await ask(client, "GET", f"{ONE}?effect={effect}"))[0] == 400


# Concluding.


async def test_everyone_gets_the_winner(client: Client, results: Results) -> None:
    await started(client)
    results.users = 2 * EVERYBODY_IS_HAPPY_WITH
    status, answer = await ask(client, "POST", f"{ONE}/conclude", WHY)
    assert (status, answer["experiment"]["state"], answer["experiment"]["winner"]) == (200, "concluded", "fast")
    assert answer["reason"].startswith("a test (WINNER: fast has less correction_rate")


async def test_without_a_verdict_only_who_insists_and_names_an_arm_concludes(client: Client) -> None:
    await started(client)
    status, problem = await ask(client, "POST", f"{ONE}/conclude", {"arm": "fast", "changed_by": "ada"})
    assert status == 422
    assert [fault.split(":")[0] for fault in problem["faults"]] == [
        "reason",
        "NO WINNER YET",
        "that does not speak for fast",
    ]
    status, answer = await ask(client, "POST", f"{ONE}/conclude", {"arm": "fast", "anyway": True} | WHY)
    assert (status, answer["experiment"]["winner"]) == (200, "fast")
    assert (await ask(client, "POST", f"{ONE}/conclude", WHY))[0] == 422


async def test_nothing_is_concluded_from_a_part_of_the_results(client: Client, results: Results) -> None:
    await started(client)
    results.users, results.behind_seconds = 2 * EVERYBODY_IS_HAPPY_WITH, 60.0
    status, problem = await ask(client, "POST", f"{ONE}/conclude", WHY)
    assert (status, problem["code"]) == (503, "unavailable")


# What is not there, what has changed, and who may.


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/quality_mode", 404),
        ("GET", "/unheard_of", 404),
        ("POST", "/unheard_of/conclude", 404),
        ("POST", "/quality_mode/conclude", 404),
        ("POST", "/quality_mode/pause", 404),
    ],
)
async def test_what_cannot_be_done_is_refused(client: Client, method: str, path: str, status: int) -> None:
    assert (await ask(client, method, f"{ROOT}{path}", WHY if method == "POST" else None))[0] == status


async def test_an_act_may_say_what_it_is_based_on(client: Client) -> None:
    assert (await ask(client, "POST", ONE, DESIGN | WHY, If_Match='"1"'))[0] == 412
    assert (await ask(client, "POST", ONE, DESIGN | WHY, If_None_Match="*"))[0] == 201
    end = {"arm": "usual", "anyway": True} | WHY
    assert (await ask(client, "POST", f"{ONE}/conclude", end, If_Match='"7"'))[0] == 412
    assert (await ask(client, "POST", f"{ONE}/conclude", end, If_Match='"7", "1"'))[0] == 200


@pytest.mark.parametrize("tokens", [{"reader": READER}])
async def test_reading_and_concluding_need_scopes_of_their_own(client: Client) -> None:
    assert (await ask(client, "GET", ROOT))[0] == 401
    bearer = {"Authorization": f"Bearer {SECRET}"}
    assert (await ask(client, "GET", ROOT, **bearer))[0] == 200
    assert (await ask(client, "POST", ONE, DESIGN | WHY, **bearer))[0] == 403
    assert (await ask(client, "POST", f"{ONE}/conclude", WHY, **bearer))[0] == 403
