"""A network and the lexical classifier are heard together, each as far as it is worth it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from models.blend import Blend
from models.calibration import calibration_error
from models.distilbert import BLEND_FILE, LEXICAL_FILE, DistilbertModel
from models.training.blending import fit_blend
from models.training.examples import Examples
from models.training.lexical import train_lexical
from tests.kit.word_release import write_release

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

TEXTS, CLASSES = 4_000, 5


def noisy(truth: npt.NDArray[np.intp], strength: float, seed: int) -> npt.NDArray[np.float32]:
    """Return logits that know the truth to some degree."""
    logits = np.random.default_rng(seed).normal(0, 1, (len(truth), CLASSES))
    logits[np.arange(len(truth)), truth] += strength
    return logits.astype(np.float32)


def truths() -> npt.NDArray[np.intp]:
    return np.random.default_rng(7).integers(0, CLASSES, TEXTS)


def test_two_that_err_on_different_texts_are_better_together() -> None:
    truth = truths()
    network, lexical = noisy(truth, 2.0, 1), noisy(truth, 1.5, 2)
    together = fit_blend(network, lexical, truth).probabilities(network, lexical).argmax(axis=1) == truth
    assert together.mean() > max((logits.argmax(axis=1) == truth).mean() for logits in (network, lexical)) + 0.03


def test_the_weights_are_each_ones_worth() -> None:
    truth = truths()
    # The log odds of a class whose logits are normal with these means are the strengths times the logits.
    blend = fit_blend(noisy(truth, 2.0, 1), noisy(truth, 1.0, 2), truth)
    np.testing.assert_allclose([blend.network, blend.lexical], [2.0, 1.0], rtol=0.1)


def test_one_that_knows_nothing_is_not_heard() -> None:
    truth = truths()
    blend = fit_blend(noisy(truth, 2.0, 1), noisy(truth, 0.0, 2), truth)
    assert blend.lexical < 0.05 * blend.network


def test_what_they_say_together_is_calibrated() -> None:
    truth = truths() % (CLASSES - 1)  # how much of what is said is out of scope, texts that were collected do not tell
    network, lexical = 5 * noisy(truth, 2.0, 1), 0.1 * noisy(truth, 1.5, 2)
    rows = fit_blend(network, lexical, truth).probabilities(network, lexical)
    assert calibration_error(rows.max(axis=1), rows.argmax(axis=1) == truth) < 0.02


def test_a_text_that_no_intent_speaks_up_for_is_out_of_scope() -> None:
    # Two intents are as likely in both, so that the softmax says the same; in one of them both are loud.
    doubtful, unknown = np.array([[8, 8, 0, 0, 0]]), np.array([[2, 2, -6, -6, -6]])
    shown = np.concatenate([doubtful] * 300 + [unknown] * 100).astype(np.float32)
    shown += np.random.default_rng(0).normal(0, 0.5, shown.shape).astype(np.float32)
    shown[:, -1] = shown[:, 0] - 5  # and so does the class out-of-scope
    truth = np.array([0, 1] * 150 + [CLASSES - 1] * 100)
    blend = fit_blend(shown, np.zeros_like(shown), truth)
    assert blend.beyond is not None
    rows = blend.probabilities(shown, np.zeros_like(shown))
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    assert rows[300:, -1].min() > rows[:300, -1].max()


def test_without_texts_out_of_scope_the_softmax_tells_them() -> None:
    truth = truths() % (CLASSES - 1)
    network, lexical = noisy(truth, 2.0, 1), noisy(truth, 1.5, 2)
    assert fit_blend(network, lexical, truth).beyond is None


def test_a_release_that_brings_a_lexical_classifier_has_it_heard(tmp_path: Path) -> None:
    write_release(tmp_path, ["greeting", "refund", None])  # `hello` is a greeting, `refund` a refund
    rows = DistilbertModel(tmp_path, ("refund", "greeting"), threads=1).predict(["hello"])
    assert rows.argmax() == 1
    contrary = Examples(["hello", "hello there", "refund", "refund it"], np.array([1, 1, 0, 0], np.intp), 3)
    train_lexical(contrary).save(tmp_path / LEXICAL_FILE)
    (tmp_path / BLEND_FILE).write_bytes(msgspec.json.encode(Blend(network=0.1, lexical=10.0)))
    rows = DistilbertModel(tmp_path, ("refund", "greeting"), threads=1).predict(["hello"])
    assert rows.argmax() == 0
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
