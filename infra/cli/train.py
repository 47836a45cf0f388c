"""`intentstream train`: a release of the tier `distilbert`, fine-tuned on this machine."""

from __future__ import annotations

import hashlib
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from infra.cli.output import json_option, print_json, say
from infra.cli.session import begin
from infra.cli.training_screen import open_training_screen
from models.catalogue import default_catalogue_path, load_catalogue
from models.preparation import DISTILBERT_FOLDER
from models.release import make_release
from models.remote.archive import SUFFIX, write_archive
from models.torch_extra import require_torch
from models.training.corpus import read_corpus
from models.training.network import MINILM
from models.training.recipe import Recipe

if TYPE_CHECKING:
    from models.release import Manifest

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_DEFAULT = Recipe()
TORCHSERVE = "torchserve"


@click.command
@click.option("--catalogue", type=_FILE, help="Whose intents to tell apart; left out: the one that the settings name.")
@click.option("--data", type=_FOLDER, help="Folder of labelled texts: train.jsonl, and val.jsonl and test.jsonl.")
@click.option("--base", default=MINILM, show_default=True, help="`minilm`, or a DistilBERT's name on a hub or folder.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write it; left out: where workers look for it.")
@click.option("--epochs", type=click.IntRange(1, 1_000), default=_DEFAULT.epochs, show_default=True, help="At most.")
@click.option("--batch", type=click.IntRange(1, 4_096), default=_DEFAULT.batch_texts, show_default=True, help="Texts.")
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, 1, min_open=True),
    default=_DEFAULT.learning_rate,
    show_default=True,
    help="The last layer's at its peak.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of what chance decides.")
@click.option(
    "--refit/--no-refit",
    default=_DEFAULT.refit,
    show_default=True,
    help="Learn again at the end, with the validation texts among the others: twice the time.",
)
@click.option(
    "--archive",
    type=click.Choice([TORCHSERVE]),
    help="Also pack it for a model server: beside the release, as NAME.mar.",
)
@json_option
def command(
    *,
    catalogue: Path | None,
    data: Path | None,
    base: str,
    out: Path | None,
    epochs: int,
    batch: int,
    learning_rate: float,
    seed: int,
    refit: bool,
    archive: str | None,
    as_json: bool,
) -> None:
    """Fine-tune a DistilBERT for a catalogue and install it.

    Learns the catalogue's examples and the texts of --data, which holds JSON lines: {"text": ..., "intent": ...}, an
    intent of null being out-of-scope. Without a val.jsonl a tenth is held out; once it has told the best epoch and
    all thresholds, it is learnt, too. Killed, it goes on where it was when it is run again. Needs intentstream's
    extra `train`; serving does not.
    """
    settings = begin()
    require_torch("Training", "train")
    from models.training.distilbert import Training  # noqa: PLC0415 - imports torch
    from models.training.policy import Targets  # noqa: PLC0415 - imports scipy

    chosen = load_catalogue(catalogue or settings.models.catalogue or default_catalogue_path())
    corpus = read_corpus(chosen, data)
    recipe = msgspec.structs.replace(
        _DEFAULT, epochs=epochs, batch_texts=batch, learning_rate=learning_rate, refit=refit
    )
    tell = partial(say, as_json=as_json)
    tell(f"{len(corpus.train.texts)} texts to learn, {len(corpus.validation.texts)} to choose by.")
    checkpoints = settings.state_folder / "training" / _digest(base, chosen.digest, corpus.digest, recipe, seed)
    checkpoints.mkdir(parents=True, exist_ok=True)
    with open_training_screen(as_json=as_json) as screen:
        training = Training(
            chosen,
            corpus,
            base=base,
            recipe=recipe,
            seed=seed,
            threads=settings.models.threads,
            observe=screen.show,
            targets=Targets(out_of_scope_loss=settings.chain.out_of_scope_loss),
        )
        target = out or settings.state_folder / "models" / DISTILBERT_FOLDER
        manifest = make_release(target, lambda folder: training.write(folder, checkpoints, screen.say))
    shutil.rmtree(checkpoints)
    packed = None
    if archive == TORCHSERVE:
        packed = target.with_name(f"{target.name}{SUFFIX}")
        write_archive(target, packed)
    _report(manifest, target, packed, as_json=as_json)


def _report(manifest: Manifest, target: Path, packed: Path | None, *, as_json: bool) -> None:
    if as_json:
        archive = {"archive": str(packed)} if packed else {}
        print_json({"release": str(target), "provenance": manifest.provenance} | archive)
        return
    for name, value in manifest.provenance.metrics.items():
        click.echo(f"{name:<24} {value:g}")
    click.echo(f"The release is in {target}.")
    if packed:
        click.echo(f"Packed for TorchServe, it is {packed}.")


def _digest(*parts: object) -> str:
    """Return what names a training: another catalogue, text, number or seed is another one."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
