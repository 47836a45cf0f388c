"""Everything slow, done once: trains, builds and quantises what a catalogue needs, and loads it from there on.

Training code is imported only where something is missing: a prepared worker starts without scikit-learn and onnx.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import onnxruntime

from models import encoder, ngrams
from models.artefacts import prepared, sha256_of, whole
from models.catalogue import default_catalogue_path
from models.distilbert import TIER_FILE, DistilbertModel
from models.encoder import Encoder, open_encoder
from models.fitting import Fitting
from models.learning import nearness
from models.learning.nearness import FILE as NEARNESS_FILE
from models.learning.nearness import Nearness
from models.lexical import LexicalModel
from models.nli_preparation import NliPreparation
from models.policy import TierPolicy
from models.recent_embeddings import RecentEmbeddings
from models.release import MANIFEST_FILE, read_release, release_name
from models.router import RULES, ZERO_SHOT
from models.rules import RulesModel
from models.weights import weights_digest
from models.zero_shot import ZeroShotModel
from models.zero_shot_release import MADE_FOR_FILE, MadeFor, check_made_for, load_zero_shot_release
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from models.catalogue import Catalogue
    from models.nli import NliModel
    from schemas.settings import Settings

DISTILBERT_FOLDER = "distilbert"
"""Where, among the prepared folders, the release lies that serves."""

_LEXICAL_FILE = "lexical.safetensors"

_TRAINING_VERSION = 2
"""Raised whenever the same catalogue would be trained otherwise."""

_DIGITS = 12


class Announced(NamedTuple):
    """What of the releases announced to all workers is to serve."""

    catalogue: str | None = None
    """The name of the catalogue's release; None: the catalogue is the settings'."""
    distilbert: Path | None = None
    """The folder of the fine-tuned model; None: the one installed here, if there is one."""
    zero_shot: Path | None = None
    """The folder of a head that corrections have taught; None: the one made from the catalogue."""


NOTHING_ANNOUNCED = Announced()


class Preparation:
    """What serves one catalogue, made on first use. Everything here blocks: call it off the event loop."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        announced: Announced = NOTHING_ANNOUNCED,
        *,
        encoder: RecentEmbeddings | None = None,
    ) -> None:
        """Take what is to be prepared; the files lie in `models` under the state folder.

        Args:
            settings: Where, and for how many threads.
            catalogue: The intents.
            announced: What of the releases is to serve.
            encoder: To be shared; None: the tier `zero_shot` opens its own.
        """
        self._shared_encoder = encoder
        self._root: Path = settings.state_folder / "models"
        self._nli: NliPreparation | None = None
        if settings.zero_shot.backend == "nli":
            threads = settings.models.threads
            self._nli = NliPreparation(settings.zero_shot, catalogue, self._root, threads=threads)
            announced = announced._replace(zero_shot=None)  # a head is of embeddings, which are not asked
        self._announced = announced
        self._tuned = announced.distilbert or self._root / DISTILBERT_FOLDER
        self._threads = settings.models.threads
        self._catalogue = catalogue

    @cached_property
    def base(self) -> str:
        """Return 12 hex digits of catalogue, code and weights: of all that the tiers depend on that nobody tuned."""
        return _digest(self._lexical_name, self.encoder_name, *([self._nli.name] if self._nli else []))

    @cached_property
    def release(self) -> str:
        """Return the name of all that answers depend on.

        `base`, and the names of the releases in it, `+catalogue.…+zero_shot.…+distilbert.…`.
        """
        name = self.base
        if self._announced.catalogue:
            name += f"+catalogue.{self._announced.catalogue}"
        if self._announced.zero_shot:
            name += f"+zero_shot.{release_name(sha256_of(self._announced.zero_shot / MANIFEST_FILE))}"
        manifest = self._tuned / MANIFEST_FILE
        return f"{name}+distilbert.{release_name(sha256_of(manifest))}" if manifest.is_file() else name

    @property
    def catalogue(self) -> Catalogue:
        """Return what the tiers know."""
        return self._catalogue

    @property
    def by_nli(self) -> bool:
        """Whether an NLI model answers for the tier `zero_shot`, so that no head does."""
        return self._nli is not None

    @cached_property
    def learnt(self) -> MadeFor | None:
        """Return what the zero-shot head has learnt of corrections; None: the catalogue alone.

        Raises:
            TierUnavailableError: The head that was announced goes with another catalogue.
        """
        if not self._announced.zero_shot:
            return None
        return check_made_for((self._announced.zero_shot / MADE_FOR_FILE).read_bytes(), self._catalogue.digest)

    def missing(self) -> tuple[str, ...]:
        """Return which folders are still to be made. The zero-shot head is not looked for: that takes the encoder."""
        return tuple(name for name in (self._lexical_name, self.encoder_name) if not whole(self._root / name))

    def rules(self) -> RulesModel:
        """Return the tier that needs nothing but the catalogue."""
        folder = prepared(self._root, self._lexical_name, self._make_lexical)
        return RulesModel(self._catalogue, LexicalModel.load(folder / _LEXICAL_FILE))

    def encoder(self) -> Encoder:
        """Return the sentence encoder.

        Raises:
            UnavailableError: Its weights are not installed.
        """
        folder = prepared(self._root, self.encoder_name, _make_encoder)
        return open_encoder(folder, threads=self._threads)

    def zero_shot(self) -> ZeroShotModel:
        """Return the tier that compares meanings.

        Raises:
            UnavailableError: The encoder's weights are not installed.
            TierUnavailableError: The head that was announced goes with another catalogue or encoder.
            DamagedReleaseError: Its files are not what its manifest says.
        """
        opened = self._shared_encoder or RecentEmbeddings(self.encoder())
        if self._announced.zero_shot:
            return load_zero_shot_release(self._announced.zero_shot, opened, self._catalogue.digest, self.encoder_name)

        def make(folder: Path) -> None:
            from models.training.zero_shot import make_zero_shot  # noqa: PLC0415 - imports scikit-learn

            make_zero_shot(self._catalogue, opened).save(folder)

        name = "zero-shot-" + _digest(self._lexical_name, self.encoder_name, opened.precision)
        return ZeroShotModel.load(opened, prepared(self._root, name, make))

    def zero_shot_tier(self) -> ZeroShotModel | NliModel:
        """Return what answers for the tier `zero_shot`: embeddings, or the NLI model that the settings ask for.

        Raises:
            UnavailableError: The weights of the one, or what it takes to run the other, are not installed; or there
                is no such NLI model.
            TierUnavailableError: The head that was announced goes with another catalogue or encoder.
            DamagedReleaseError: Its files are not what its manifest says.
        """
        return self.zero_shot() if self._nli is None else self._nli.model()

    def is_same(self, tier: str, other: Preparation) -> bool:
        """Return whether another's model of a tier is the very same as ours."""
        if tier == RULES:
            return self._lexical_name == other._lexical_name
        mine, its = self._announced.zero_shot, other._announced.zero_shot
        if tier == ZERO_SHOT:
            return (mine, self.base) == (its, other.base)
        return (self._tuned, self._catalogue.labels) == (other._tuned, other._catalogue.labels)

    def nearness(self, encoder: Encoder) -> Nearness:
        """Return what is near by the catalogue's examples, in the embeddings of the encoder that was opened."""

        def make(folder: Path) -> None:
            from models.training.nearness import fit_nearness  # noqa: PLC0415 - imports scikit-learn

            fit_nearness(self._catalogue, encoder).save(folder / NEARNESS_FILE)

        name = "nearness-" + _digest(self._lexical_name, self.encoder_name, encoder.precision, str(nearness.VERSION))
        return Nearness.load(prepared(self._root, name, make) / NEARNESS_FILE)

    def distilbert(self) -> DistilbertModel:
        """Return the fine-tuned tier.

        Raises:
            TierUnavailableError: No release is installed, or it is another catalogue's.
            DamagedReleaseError: Its files are not what its manifest says.
        """
        if self._tuned.is_dir():
            read_release(self._tuned)
        return DistilbertModel(self._tuned, self._catalogue.labels, threads=self._threads)

    def tuned_tier(self) -> TierPolicy | None:
        """Return what the fine-tuned tier's release says of it; None where there is none, or it says nothing.

        Raises:
            msgspec.DecodeError: What it says is something else.
        """
        file = self._tuned / TIER_FILE
        return msgspec.json.decode(file.read_bytes(), type=TierPolicy) if file.is_file() else None

    @cached_property
    def _lexical_name(self) -> str:
        return "lexical-" + _digest(self._catalogue.digest, str(ngrams.VERSION), str(_TRAINING_VERSION))

    @cached_property
    def encoder_name(self) -> str:
        """Return the folder of the prepared encoder, which says what it was made from."""
        try:
            weights = weights_digest()
        except UnavailableError:
            weights = ""
        shown = sha256_of(default_catalogue_path())  # its examples show the ranges of activations
        made_by = f"{encoder.VERSION} {onnxruntime.__version__} {encoder.GOLDEN_SENTENCES} {shown}"
        return "encoder-" + _digest(weights, made_by)

    def _make_lexical(self, folder: Path) -> None:
        from models.training.examples import examples_of  # noqa: PLC0415 - serving needs none of it
        from models.training.lexical import train_lexical  # noqa: PLC0415 - imports scikit-learn

        train_lexical(examples_of(self._catalogue)).save(folder / _LEXICAL_FILE)


def prepare(settings: Settings, catalogue: Catalogue, progress: Callable[[str, float], None]) -> str:
    """Make everything that is not there yet, and return the release.

    Args:
        settings: Where to put it.
        catalogue: What to make it from.
        progress: Is told what comes next and which share of the whole is done, from 0 to 1.

    Raises:
        UnavailableError: The encoder's weights are not installed; the rules are prepared all the same.
    """
    preparation = Preparation(settings, catalogue)
    progress("training the lexical classifier", 0.0)
    preparation.rules()
    progress("building the sentence encoder", 0.3)
    opened = preparation.encoder()
    progress("fitting the zero-shot tier", 0.6)
    preparation.zero_shot_tier()
    progress("fitting thresholds", 0.8)
    Fitting(settings, catalogue, preparation).policy()
    progress("measuring distances", 0.95)
    preparation.nearness(opened)
    progress("models are prepared", 1.0)
    return preparation.release


def _make_encoder(folder: Path) -> None:
    from models.training.encoder import make_encoder  # noqa: PLC0415 - imports onnx

    make_encoder(folder)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_DIGITS]
