"""What the tiers say about texts that they were not trained on, and of intents that they never heard of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from models.catalogue import Catalogue
from models.nli import NliModel, hypotheses_of
from models.router import RULES, ZERO_SHOT
from models.rules import RulesModel
from models.training.calibration import FEWEST_BEYOND, LeftOut
from models.training.examples import examples_of
from models.training.lexical import train_lexical
from models.training.policy import PROMISE, Targets, fit_policy
from models.training.zero_shot import make_zero_shot

if TYPE_CHECKING:
    import numpy.typing as npt

    from models.policy import Policy
    from models.prediction import Model
    from models.preparation import Preparation
    from models.training.corpus import Corpus
    from models.training.examples import Examples
    from models.zero_shot import ZeroShotModel
    from schemas.settings import Settings
    from schemas.zero_shot import ZeroShot

_LEFT_OUT_SHARE = 0.25
"""Of the intents: enough to be many kinds of text, few enough that telling the others apart is still the same task."""

_FEWEST_INTENTS = 8


def fit_on_held_out(
    catalogue: Catalogue, corpus: Corpus, preparation: Preparation, tuned: dict[str, Model], settings: Settings
) -> Policy:
    """Return the policy that a corpus's validation texts teach about the tiers of a catalogue.

    Where those are among the catalogue's examples, other models stand for the prepared ones, trained on the rest.

    Args:
        catalogue: What the prepared models were made from.
        corpus: Training and validation texts.
        preparation: Makes the prepared models.
        tuned: Fine-tuned models by tier, which were trained on none of the validation texts.
        settings: What to fit for.

    Raises:
        UnavailableError: The encoder's weights are not installed.
    """
    validation = corpus.validation
    known = set(examples_of(catalogue).texts)
    rules, zero_shot = preparation.rules(), preparation.zero_shot_tier()
    stand_ins = _StandIns(rules, zero_shot, settings.zero_shot)
    models: dict[str, Model] = {RULES: rules, ZERO_SHOT: zero_shot}
    if not known.isdisjoint(validation.texts):
        models = stand_ins.trained(_with_examples(catalogue, corpus.train))
    rows = {name: model.predict(validation.texts) for name, model in (models | tuned).items()}
    beyond = int((validation.truth == validation.classes - 1).sum())
    left_out = _left_out(catalogue, corpus, stand_ins) if beyond < FEWEST_BEYOND else {}
    targets = Targets(
        tolerated_loss=settings.chain.tolerated_loss,
        escalated_share=settings.chain.escalated_share,
        out_of_scope_loss=settings.chain.out_of_scope_loss,
        promise=settings.models.promise or PROMISE,
    )
    return msgspec.structs.replace(fit_policy(rows, validation.truth, targets, left_out), corpus=corpus.digest)


class _StandIns(NamedTuple):
    """Trains models on less than the prepared ones, to stand for them; their temperatures are taken over.

    An NLI model is trained on no catalogue; it is told of these intents alone.
    """

    rules: RulesModel
    zero_shot: ZeroShotModel | NliModel
    asked: ZeroShot

    def trained(self, catalogue: Catalogue) -> dict[str, Model]:
        """Return both, by tier."""
        lexical = train_lexical(examples_of(catalogue), self.rules.temperature)
        return {RULES: RulesModel(catalogue, lexical), ZERO_SHOT: self._zero_shot(catalogue)}

    def _zero_shot(self, catalogue: Catalogue) -> Model:
        model = self.zero_shot
        if isinstance(model, NliModel):
            return model.told(hypotheses_of(catalogue, self.asked))
        return make_zero_shot(catalogue, model.encoder, like=model)


def _with_examples(catalogue: Catalogue, examples: Examples) -> Catalogue:
    """Return the catalogue with these examples for its own."""
    said: list[list[str]] = [[] for _ in range(examples.classes)]
    for text, column in zip(examples.texts, examples.truth.tolist(), strict=True):
        said[column].append(text)
    *inside, beyond = said
    intents = tuple(
        type(intent)(name=intent.name, description=intent.description, examples=tuple(texts), patterns=intent.patterns)
        for intent, texts in zip(catalogue.intents, inside, strict=True)
    )
    return Catalogue(name=catalogue.name, intents=intents, out_of_scope=tuple(beyond))


def _left_out(catalogue: Catalogue, corpus: Corpus, stand_ins: _StandIns) -> dict[str, LeftOut]:
    """Return what tiers say that were trained without a quarter of the intents; nothing where there are few of them."""
    intents = len(catalogue.intents)
    if intents < _FEWEST_INTENTS:
        return {}
    out = np.zeros(intents + 1, np.bool_)
    out[np.random.default_rng(0).permutation(intents)[: round(_LEFT_OUT_SHARE * intents)]] = True
    whole = _with_examples(catalogue, corpus.train)
    rest = Catalogue(
        name=catalogue.name,
        intents=tuple(intent for intent, gone in zip(whole.intents, out[:-1], strict=True) if not gone),
        out_of_scope=whole.out_of_scope,
    )
    validation = corpus.validation
    outside: npt.NDArray[np.bool_] = out[validation.truth]
    inside = ~outside & (validation.truth < intents)
    return {
        name: LeftOut(model.predict(validation.only(inside).texts), model.predict(validation.only(outside).texts))
        for name, model in stand_ins.trained(rest).items()
    }
