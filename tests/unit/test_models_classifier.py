"""From texts to answers in one call: rules at once, the other tiers as they come, nothing said twice asked twice."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from models.catalogue import Catalogue, Intent, default_catalogue_path
from models.classifier import Classifier
from models.distilbert import TIER_FILE
from models.local import LocalTier
from models.policy import Policy, TierPolicy
from models.preparation import Announced, prepare
from models.release import Provenance, make_release
from models.router import DISTILBERT, route
from models.zero_shot import ZeroShotModel
from models.zero_shot_release import MadeFor, make_zero_shot_release
from schemas.events import Attempt, Outcome
from schemas.settings import Settings
from schemas.strategies import Strategy
from tests.kit.word_release import write_release

if TYPE_CHECKING:
    from models.breaker import BreakerState

ROOT = Path(__file__).parents[2]
RULES_ONLY = route(Strategy.PERFORMANCE, distilbert=False, zero_shot=False)
STANDARD = route(Strategy.STANDARD, distilbert=False, zero_shot=True)
QUALITY = route(Strategy.QUALITY, distilbert=False, zero_shot=True)

CATALOGUE = Catalogue(
    name="shop",
    intents=(
        Intent(
            name="order_status",
            description="Asks where an order is.",
            examples=("where is my parcel", "track my order", "when will it come", "has my order shipped"),
            patterns=(r"order #\d+",),
        ),
        Intent(
            name="refund",
            description="Wants money back.",
            examples=("i want my money back", "refund me please", "give me a refund", "return my money"),
        ),
    ),
    out_of_scope=("what is the capital of peru", "sing me a sea shanty", "who won the match", "tell me a riddle"),
)


class Turns:
    """An observer that counts the texts each tier was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def tier_called(self, attempt: Attempt, texts: int) -> None:
        assert attempt.outcome
        assert attempt.seconds >= 0
        self.asked.append((attempt.tier, texts))

    def tier_answered(self, tier: str, texts: int) -> None:
        """Do nothing."""

    def breaker_changed(self, name: str, state: BreakerState) -> None:
        """Do nothing."""

    def cache_asked(self, level: str, hits: int, misses: int) -> None:
        """Do nothing."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings under whose state folder everything is prepared."""
    settings = Settings(state_folder=tmp_path_factory.mktemp("state"))
    prepare(settings, CATALOGUE, lambda _what, _share: None)
    return settings


async def test_rules_answer_as_soon_as_it_has_started(settings: Settings) -> None:
    async with Classifier(settings, CATALOGUE, share=False) as classifier:
        [answer] = await classifier.classify(["Where is order #7?"], RULES_ONLY)
    assert (answer.intent, answer.tier, answer.degraded) == ("order_status", "rules", False)


async def test_without_its_rules_it_does_not_start(tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.touch()
    classifier = Classifier(Settings(state_folder=file), CATALOGUE, share=False)
    with pytest.raises(OSError, match="Not a directory"):
        await classifier.start()
    await classifier.close()


async def test_zero_shot_joins_when_it_is_loaded(settings: Settings) -> None:
    async with Classifier(settings, CATALOGUE, share=False) as classifier:
        await classifier.loaded()
        [answer] = await classifier.classify(["my package hasn't arrived"], STANDARD)
        assert classifier.tiers["zero_shot"].ready
        assert classifier.tiers["distilbert"].missing == "no release is installed"
    assert (answer.intent, answer.tried[0].tier, answer.degraded) == ("order_status", "zero_shot", False)


async def test_before_it_has_started_there_is_an_answer_that_says_why_it_is_none(settings: Settings) -> None:
    classifier = Classifier(settings, CATALOGUE, share=False)
    [answer] = await classifier.classify(["where is my parcel"], STANDARD)
    await classifier.close()
    assert (answer.intent, answer.tier, answer.degraded) == (None, "none", True)
    assert [attempt.outcome for attempt in answer.tried] == [Outcome.UNAVAILABLE] * 2


async def test_texts_that_differ_in_form_alone_are_asked_once(settings: Settings) -> None:
    turns = Turns()
    async with Classifier(settings, CATALOGUE, share=False, observer=turns) as classifier:
        texts = ["Track my order", "track  my ORDER", "refund me please"]
        first, second, third = await classifier.classify(texts, RULES_ONLY)
    assert turns.asked == [("rules", 2)]
    assert (first, third.intent) == (second, "refund")


@pytest.mark.parametrize(("caching", "asked"), [(True, 1), (False, 2)])
async def test_what_was_said_before_is_remembered_if_caching_is_on(
    settings: Settings, *, caching: bool, asked: int
) -> None:
    turns = Turns()
    async with Classifier(settings, CATALOGUE, share=False, observer=turns) as classifier:
        [first] = await classifier.classify(["track my order"], RULES_ONLY, caching=caching)
        [second] = await classifier.classify(["track my order"], RULES_ONLY, caching=caching)
    assert len(turns.asked) == asked
    assert (first.cached, second.cached) == (False, caching)
    assert second.intent == first.intent


async def test_quality_without_a_fine_tuned_release_is_degraded_and_says_why(settings: Settings) -> None:
    async with Classifier(settings, CATALOGUE, share=False) as classifier:
        await classifier.loaded()
        [answer] = await classifier.classify(["track my order"], QUALITY)
    assert answer.intent == "order_status"
    assert answer.degraded
    assert answer.tried[0].reason == "no release is installed"


async def test_what_held_out_examples_teach_decides_once_it_is_loaded(settings: Settings) -> None:
    async with Classifier(settings, CATALOGUE, share=False) as classifier:
        before = classifier.policy
        await classifier.loaded()
        assert before.tiers == {}
        assert classifier.policy.tiers.keys() == {"rules", "zero_shot"}
        assert classifier.policy.texts == 3


async def test_where_nothing_is_promised_the_settings_say_what_people_look_at(settings: Settings) -> None:
    async with Classifier(settings, CATALOGUE, share=False) as classifier:
        assert classifier.review_below(STANDARD) is None


async def test_a_promise_that_too_few_texts_can_bear_out_sends_everything_to_people(settings: Settings) -> None:
    promising = settings.model_copy(update={"models": settings.models.model_copy(update={"promise": 0.99})})
    async with Classifier(promising, CATALOGUE, share=False) as classifier:
        assert (classifier.review_below(STANDARD) or 0) > 1
        await classifier.loaded()
        assert (classifier.review_below(STANDARD) or 0) > 1


async def test_another_policy_is_another_answer_to_remember(settings: Settings) -> None:
    turns = Turns()
    async with Classifier(settings, CATALOGUE, share=False, observer=turns) as classifier:
        await classifier.loaded()
        await classifier.classify(["track my order"], RULES_ONLY)
        classifier.apply(Policy(texts=1))
        [answer] = await classifier.classify(["track my order"], RULES_ONLY)
    assert not answer.cached


async def test_a_damaged_fine_tuned_release_takes_one_tier_and_no_more(settings: Settings, tmp_path: Path) -> None:
    state = tmp_path / "state"
    shutil.copytree(settings.state_folder, state)
    release = state / "models" / "distilbert"
    release.mkdir()
    for name in ("model.onnx", "tokenizer.json", "labels.json"):
        (release / name).write_bytes(b"no such thing")
    async with Classifier(Settings(state_folder=state), CATALOGUE, share=False) as classifier:
        await classifier.loaded()
        [answer] = await classifier.classify(["track my order"], QUALITY)
    assert [attempt.outcome for attempt in answer.tried] == [Outcome.UNAVAILABLE, Outcome.ANSWERED]


async def test_a_release_says_from_when_on_a_text_is_out_of_scope(settings: Settings, tmp_path: Path) -> None:
    state = tmp_path / "state"
    shutil.copytree(settings.state_folder, state)

    def write(folder: Path) -> Provenance:
        write_release(folder, [*CATALOGUE.labels, None])  # of a word that it does not know, it thinks a third
        (folder / TIER_FILE).write_bytes(msgspec.json.encode(TierPolicy(accuracy=0.9, out_of_scope=0.3)))
        return Provenance(catalogue=CATALOGUE.digest, code="0")

    make_release(state / "models" / DISTILBERT, write)
    async with Classifier(Settings(state_folder=state), CATALOGUE, share=False) as classifier:
        await classifier.loaded()
        known, unknown = await classifier.classify(["hello", "gibberish"], QUALITY)
    assert (known.intent, known.tier) == ("order_status", DISTILBERT)
    assert (unknown.intent, unknown.tier) == (None, DISTILBERT)
    assert unknown.out_of_scope == pytest.approx(1 / 3, abs=0.01)


async def test_another_catalogue_is_another_release(settings: Settings) -> None:
    other = Catalogue(name="other", intents=CATALOGUE.intents, out_of_scope=())
    async with (
        Classifier(settings, CATALOGUE, share=False) as first,
        Classifier(settings, CATALOGUE, share=False) as same,
        Classifier(settings, other, share=False) as second,
    ):
        assert first.release == same.release != second.release


def test_preparing_twice_makes_nothing_new(settings: Settings) -> None:
    def files() -> dict[Path, int]:
        return {file: file.stat().st_mtime_ns for file in settings.state_folder.rglob("*") if file.is_file()}

    before = files()
    steps: list[float] = []
    prepare(settings, CATALOGUE, lambda _what, share: steps.append(share))
    assert files() == before
    assert steps == sorted(steps)
    assert (steps[0], steps[-1]) == (0.0, 1.0)


SERVE = """
import asyncio, sys
from pathlib import Path
from models.catalogue import load_catalogue
from models.classifier import Classifier
from models.router import route
from schemas.settings import Settings
from schemas.strategies import Strategy

async def serve() -> None:
    settings = Settings(state_folder=Path(sys.argv[1]))
    async with Classifier(settings, load_catalogue(Path(sys.argv[2])), share=False) as classifier:
        order = route(Strategy.PERFORMANCE, distilbert=False, zero_shot=False)
        [answer] = await classifier.classify(["where is my parcel?"], order)
        print(answer.tier, flush=True)
        await classifier.loaded()
        await classifier.classify(["where is my parcel?"], route(Strategy.STANDARD, distilbert=False, zero_shot=True))
    print(" ".join(sorted({"torch", "transformers", "sklearn", "onnx"} & set(sys.modules))))

asyncio.run(serve())
"""


@pytest.fixture
def served(tmp_path: Path) -> list[str]:
    """A process that serves the shipped catalogue: how it is started."""
    return [sys.executable, "-c", SERVE, str(tmp_path), str(default_catalogue_path())]


def test_serving_imports_neither_torch_nor_once_prepared_what_trains(served: list[str]) -> None:
    imported = []
    for _ in range(2):
        done = subprocess.run(served, cwd=ROOT, check=True, capture_output=True, text=True, timeout=200)
        imported.append(done.stdout.splitlines()[-1])
    assert imported == ["onnx sklearn", ""]


def test_on_a_machine_where_nothing_is_prepared_rules_answer_before_the_rest_is_made(
    served: list[str], tmp_path: Path
) -> None:
    with subprocess.Popen(served, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = next(line for line in process.stdout if "tier_" not in line)
        process.kill()
    assert line.strip() == "rules"
    assert not list(tmp_path.rglob("zero-shot-*"))


def model_of(classifier: Classifier, name: str) -> object:
    tier = classifier.tiers[name]
    assert isinstance(tier, LocalTier)
    return tier.model


async def test_one_made_beside_another_shares_what_is_the_same_and_leaves_it_whole(
    settings: Settings, tmp_path: Path
) -> None:
    async with Classifier(settings, CATALOGUE, share=False) as first:
        await first.loaded()
        assert first.encoder is not None
        model = model_of(first, "zero_shot")
        assert isinstance(model, ZeroShotModel)
        turned = msgspec.structs.replace(model.head, weights=-model.head.weights)
        made_for = MadeFor(catalogue=CATALOGUE.digest, encoder=first.preparation.encoder_name)
        make_zero_shot_release(tmp_path / "head", ZeroShotModel(first.encoder, turned, model.lexical), made_for, {})
        announced = Announced(zero_shot=tmp_path / "head")
        async with Classifier(settings, CATALOGUE, announced=announced, share=False, beside=first) as second:
            await second.loaded()
            candidate = model_of(second, "zero_shot")
            assert isinstance(candidate, ZeroShotModel)
            assert candidate is not model
            assert candidate.encoder is first.encoder
            assert model_of(second, "rules") is model_of(first, "rules")
            assert second.release != first.release
            [mine], [its] = [await each.classify(["my package"], QUALITY) for each in (first, second)]
            assert (mine.confidence, mine.intent) != (its.confidence, its.intent)
        [again] = await first.classify(["my package"], QUALITY, caching=False)
    assert again.confidence == mine.confidence
