"""Fine-tuning learns, says how it goes, stops when it gets no better, and survives being killed."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from models.training.recipe import Recipe
from tests.kit.tiny_base import write_tiny_base

torch = pytest.importorskip("torch", reason="needs the extra `train`: `uv sync --extra train`")
pytestmark = pytest.mark.train

from models.tokens import TextTokenizer  # noqa: E402 - likewise
from models.training.averaging import Average  # noqa: E402 - likewise
from models.training.device import Device  # noqa: E402 - imports torch
from models.training.fine_tuning import FineTuning, Labelled, Outcome  # noqa: E402 - likewise
from models.training.inference import infer  # noqa: E402 - likewise
from models.training.network import base_network  # noqa: E402 - likewise

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from models.training.seen import Seen

SAID = ("where is my parcel", "where is my order", "refund my order", "money back please", "play music", "some song")
TRUTH = np.array([0, 0, 1, 1, 2, 2], np.intp)
RECIPE = Recipe(epochs=6, batch_texts=2, learning_rate=2e-3, head_learning_rate=1e-2)
CPU = Device(name="cpu", bfloat16=False)


torch.set_num_threads(1)  # more would wait for each other longer than they compute


class KilledError(Exception):
    """Ends a training where it stands."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base"))


class Trial:
    """Trains on the same texts again and again."""

    def __init__(self, base: Path, folder: Path) -> None:
        self._base, self._folder = base, folder
        self.seen: list[Seen] = []

    def run(
        self,
        *,
        recipe: Recipe = RECIPE,
        seed: int = 0,
        kill_at: int | None = None,
        validation: tuple[int, ...] | None = (0, 0, 1, 1, 2, 2),
        epochs: int | None = None,
    ) -> tuple[dict[str, Any], Outcome, Any]:
        """Return the weights, the outcome and the network; every step is followed by a checkpoint."""
        made = base_network(str(self._base), ("order", "refund", "music"), seed=seed, folder=self._folder)
        tokens = TextTokenizer(made.tokenizer).ids(SAID)

        def observe(seen: Seen) -> None:
            self.seen.append(seen)
            if seen.step == kill_at:
                raise KilledError

        outcome = FineTuning(
            made.network,
            Labelled(tokens, TRUTH),
            None if validation is None else Labelled(tokens, np.array(validation, np.intp)),
            recipe,
            epochs=epochs,
            seed=seed,
            device=CPU,
            folder=self._folder,
            observe=observe,
            clock=_hours(),
        ).run()
        return dict(made.network.state_dict()), outcome, made.network


def _hours() -> Callable[[], float]:
    counted = itertools.count()
    return lambda: 3600.0 * next(counted)


def assert_equal(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def test_it_learns_what_it_is_shown(base: Path, tmp_path: Path) -> None:
    trial = Trial(base, tmp_path)
    _, outcome, network = trial.run(
        recipe=msgspec.structs.replace(RECIPE, epochs=40, patience_epochs=40, learning_rate=5e-3)
    )
    logits = infer(network, TextTokenizer(base / "tokenizer.json").ids(SAID), CPU)
    assert logits.argmax(axis=1).tolist() == TRUTH.tolist()
    assert outcome.best_accuracy == 1.0


def test_each_step_is_told_with_loss_accuracy_and_the_time_left(base: Path, tmp_path: Path) -> None:
    trial = Trial(base, tmp_path)
    trial.run()
    assert [seen.step for seen in trial.seen] == list(range(1, trial.seen[-1].step + 1))
    assert all(seen.loss > 0 and 0 <= seen.accuracy <= 1 for seen in trial.seen)
    assert all(seen.validation_accuracy is not None and 0 <= seen.validation_accuracy <= 1 for seen in trial.seen)
    assert trial.seen[0].seconds_left > trial.seen[-1].seconds_left
    assert [seen.epoch for seen in trial.seen[:4]] == [1, 1, 1, 2]


def test_the_same_seed_gives_the_same_weights_and_another_goes_another_way(base: Path, tmp_path: Path) -> None:
    trials, weights = [], []
    for place, seed in (("first", 0), ("second", 0), ("third", 1)):
        (tmp_path / place).mkdir()
        trials.append(Trial(base, tmp_path / place))
        weights.append(trials[-1].run(seed=seed)[0])
    assert_equal(weights[0], weights[1])
    first, second, third = ([seen.loss for seen in trial.seen] for trial in trials)
    assert first == second
    assert first != third


def test_what_is_kept_is_the_average_of_the_last_weights() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    average = Average(network, window_steps=4.0)
    wanted = float(network.weight.detach())
    for step in range(1, 21):
        with torch.no_grad():
            network.weight.fill_(float(step))
        average.take_in(step)
        wanted += (step - wanted) / 4
    with average.in_place():
        assert float(network.weight.detach()) == pytest.approx(wanted)
    assert float(network.weight.detach()) == 20.0


@pytest.mark.parametrize("kill_at", [1, 5, 7])
def test_killed_in_an_epoch_it_ends_as_if_it_had_not_been(base: Path, tmp_path: Path, kill_at: int) -> None:
    for place in ("whole", "killed"):
        (tmp_path / place).mkdir()
    whole, told, _ = Trial(base, tmp_path / "whole").run()
    killed = Trial(base, tmp_path / "killed")
    with pytest.raises(KilledError):
        killed.run(kill_at=kill_at)
    resumed, outcome, _ = killed.run()
    assert_equal(resumed, whole)
    assert (outcome.best_epoch, outcome.epochs) == (told.best_epoch, told.epochs)


def test_once_over_it_is_not_done_again(base: Path, tmp_path: Path) -> None:
    trial = Trial(base, tmp_path)
    weights, _, _ = trial.run()
    trial.seen.clear()
    again, _, _ = trial.run()
    assert not trial.seen
    assert_equal(again, weights)


def test_it_stops_when_validation_gets_no_better(base: Path, tmp_path: Path) -> None:
    recipe = msgspec.structs.replace(RECIPE, epochs=50, patience_epochs=2)
    # What it learns is wrong here: the more it learns, the worse.
    _, outcome, _ = Trial(base, tmp_path).run(recipe=recipe, validation=(1, 1, 2, 2, 0, 0))
    assert outcome.epochs == outcome.best_epoch + 2
    assert outcome.epochs < 50


def test_with_nothing_to_judge_by_it_goes_as_far_as_it_is_told_and_keeps_that(base: Path, tmp_path: Path) -> None:
    for place in ("alone", "judged"):
        (tmp_path / place).mkdir()
    alone = Trial(base, tmp_path / "alone")
    weights, outcome, _ = alone.run(validation=None, epochs=2)
    assert (outcome.best_epoch, outcome.epochs, len(alone.seen)) == (2, 2, 6)
    assert {seen.validation_accuracy for seen in alone.seen} == {None}
    assert alone.seen[-1].seconds_left == 0
    judged = Trial(base, tmp_path / "judged")
    with pytest.raises(KilledError):
        judged.run(kill_at=6)
    # The rates are those of the whole recipe: the same steps were taken.
    assert [seen.loss for seen in judged.seen] == [seen.loss for seen in alone.seen]
    assert_equal(alone.run(validation=None, epochs=2)[0], weights)


def test_the_rates_rise_over_the_warm_up_and_fall_to_nothing() -> None:
    recipe = Recipe(warm_up_share=0.2)
    shares = [recipe.rate_share(step, 100) for step in range(101)]
    assert shares[19] == max(shares) == 1.0
    assert shares[:20] == sorted(shares[:20])
    assert shares[19:] == sorted(shares[19:], reverse=True)
    assert shares[100] == 0.0
