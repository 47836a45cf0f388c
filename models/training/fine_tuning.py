"""Fine-tunes a classifier: seeded, stopped early by validation, and resumed after a kill with the same result.

Everything a step does depends on the weights, the optimiser's state, the seed and the step's number alone, which is
why a checkpoint after any step is enough to go on from.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import torch

from models.training.averaging import Average
from models.training.batches import Batch, batch_of, shuffled
from models.training.checkpoint import Progress, Tensors, load_checkpoint, save_checkpoint
from models.training.inference import first_tokens, infer, logits_of
from models.training.seen import Seen
from models.training.warm_head import warm_head

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from models.training.device import Device
    from models.training.recipe import Recipe
    from models.training.seen import Observer

_CHECKPOINT_SECONDS = 120.0


class Labelled(NamedTuple):
    """Texts as the network reads them, and what it is to say of them."""

    tokens: Sequence[Sequence[int]]
    truth: npt.NDArray[np.intp]
    """Shape (texts,): the column of each one's label."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What fine-tuning came to: the best epoch, from 1, its validation accuracy, the epochs walked, the time taken.

    The best is the one with the least loss on the validation texts; where there are none, the last, and 0 its accuracy.
    """

    best_epoch: int
    best_accuracy: float
    epochs: int
    seconds: float


class FineTuning:
    """One network on its way."""

    def __init__(
        self,
        network: torch.nn.Module,
        train: Labelled,
        validation: Labelled | None,
        recipe: Recipe,
        *,
        epochs: int | None = None,
        fits_head: bool = True,
        seed: int,
        device: Device,
        folder: Path,
        observe: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take everything the result depends on, and where its checkpoint lies.

        Args:
            network: A `DistilBertForSequenceClassification`.
            train: What it learns.
            validation: What tells the best epoch; None: the last one is taken for it.
            recipe: How.
            epochs: After how many to end; the learning rates are of the recipe's all the same. None: after those.
            fits_head: Whether to fit the head before the first step; one that was trained with the network stays.
            seed: Of the batches' order and of dropout.
            device: Where it runs.
            folder: Holds the checkpoint of this and no other training.
            observe: Is told of each step.
            clock: Monotonic seconds.
        """
        self._network = network.to(device.name)
        # Words that training shows would move away from those that it does not. And they are half of all weights.
        network.distilbert.embeddings.word_embeddings.weight.requires_grad_(requires_grad=False)
        self._train, self._validation = train, validation
        self._fits_head = fits_head
        self._recipe, self._seed, self._device = recipe, seed, device
        self._folder, self._observe, self._clock = folder, observe, clock
        self._per_epoch = recipe.steps_per_epoch(len(train.tokens))
        self._steps = self._per_epoch * recipe.epochs
        self._optimiser = _optimiser(network, recipe)
        self._last_step = self._steps if epochs is None else self._per_epoch * epochs
        self._average = Average(network, window_steps=recipe.averaged_share * self._steps)

    def run(self) -> Outcome:
        """Walk to the end, from the checkpoint if there is one, and leave the best epoch's weights in the network."""
        progress, best = load_checkpoint(
            self._folder, network=self._network, average=self._average, optimiser=self._optimiser
        )
        if progress.best_epoch < 0:
            best = self._begin(progress)
        saved = self._clock()
        while not self._over(progress):
            epoch, done = divmod(progress.step, self._per_epoch)
            batches = shuffled(self._train.tokens, self._recipe.batch_texts, seed=self._seed, epoch=epoch)
            for rows in batches[done:]:
                self._step(batch_of(self._train.tokens, rows), progress)
                # Not after an epoch's last step: until it is judged, there is no going on from there.
                if self._clock() - saved > _CHECKPOINT_SECONDS and progress.step % self._per_epoch:
                    self._save(progress, best)
                    saved = self._clock()
            best = self._judge(epoch + 1, progress, best)
            self._save(progress, best)
            saved = self._clock()
        self._network.load_state_dict(best)
        return Outcome(
            best_epoch=progress.best_epoch,
            best_accuracy=progress.best_accuracy,
            epochs=progress.step // self._per_epoch,
            seconds=progress.seconds,
        )

    def _begin(self, progress: Progress) -> Tensors:
        """Fit the head if it is new, and return what there is before the first step."""
        if self._fits_head:
            features = first_tokens(self._network, self._train.tokens, self._device)
            warm_head(self._network, features, self._train.truth, label_smoothing=self._recipe.label_smoothing)
        self._average = Average(self._network, window_steps=self._recipe.averaged_share * self._steps)
        return self._judge(0, progress, {})

    def _over(self, progress: Progress) -> bool:
        worse_epochs = progress.step // self._per_epoch - progress.best_epoch
        return progress.step >= self._last_step or worse_epochs >= self._recipe.patience_epochs

    def _step(self, batch: Batch, progress: Progress) -> None:
        """Learn from one batch."""
        before = self._clock()
        if not progress.step % self._per_epoch:
            progress.loss, progress.right, progress.texts = 0.0, 0, 0
        torch.manual_seed(self._seed << 32 | progress.step)  # dropout's, so that no generator's state is to be kept
        share = self._recipe.rate_share(progress.step, self._steps)
        for group in self._optimiser.param_groups:
            group["lr"] = share * group["peak"]
        self._network.train()
        truth = torch.from_numpy(self._train.truth[batch.rows]).to(self._device.name)
        logits = logits_of(self._network, batch, self._device)
        loss = self._loss(logits, truth)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.gradient_norm)
        self._optimiser.step()
        progress.step += 1
        self._average.take_in(progress.step)
        progress.texts += len(truth)
        progress.loss += float(loss.detach()) * len(truth)
        progress.right += int((logits.argmax(dim=1) == truth).sum())
        progress.seconds += self._clock() - before
        self._observe(self._seen(progress))

    def _loss(self, logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(logits, truth, label_smoothing=self._recipe.label_smoothing)

    def _judge(self, epoch: int, progress: Progress, best: Tensors) -> Tensors:
        """Return the best weights so far, now that an epoch is over: those with the least loss, or the latest.

        Accuracy moves by a few texts between epochs, and picks by chance.
        """
        before = self._clock()
        with self._average.in_place():
            if self._validation is not None:
                logits = infer(self._network, self._validation.tokens, self._device)
                loss = float(self._loss(torch.from_numpy(logits), torch.from_numpy(self._validation.truth)))
                progress.seconds += self._clock() - before
                if progress.best_epoch >= 0 and loss > progress.best_loss:
                    return best
                progress.best_loss = loss
                progress.best_accuracy = float((logits.argmax(axis=1) == self._validation.truth).mean())
            progress.best_epoch = epoch
            return {name: tensor.detach().clone() for name, tensor in self._network.state_dict().items()}

    def _save(self, progress: Progress, best: Tensors) -> None:
        save_checkpoint(
            self._folder,
            progress,
            best,
            network=self._network,
            average=self._average,
            optimiser=self._optimiser,
        )

    def _seen(self, progress: Progress) -> Seen:
        return Seen(
            step=progress.step,
            steps=self._last_step,
            epoch=(progress.step - 1) // self._per_epoch + 1,
            loss=progress.loss / progress.texts,
            accuracy=progress.right / progress.texts,
            validation_accuracy=None if self._validation is None else progress.best_accuracy,
            seconds_left=progress.seconds / progress.step * (self._last_step - progress.step),
        )


def _optimiser(network: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return AdamW over groups, each with its `peak` learning rate: the head, and layers that learn less the lower."""
    layers = int(network.config.n_layers)
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        peak = recipe.head_learning_rate
        if name.startswith("distilbert."):
            height = int(name.split(".")[3]) + 1 if ".layer." in name else 0
            peak = recipe.learning_rate * recipe.layer_decay ** (layers - height)
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((peak, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "peak": peak, "weight_decay": decay}
            for (peak, decay), parameters in sorted(groups.items(), key=lambda group: group[0])
        ],
        fused=True,
    )
