"""Starts the head where logistic regression over the base's features ends.

Fine-tuning a good base under a random head first damages the base; under a fitted head it does not, needs fewer epochs
and does better on texts unlike those it was shown (Kumar et al. 2022, arXiv 2202.10054).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

_INVERSE_REGULARISATION = 30.0
"""scikit-learn's C over features of length 1; as in `models.training.zero_shot`."""

_ITERATIONS = 100


def warm_head(
    network: torch.nn.Module,
    features: npt.NDArray[np.float32],
    truth: npt.NDArray[np.intp],
    *,
    label_smoothing: float,
) -> None:
    """Fit the head of a `DistilBertForSequenceClassification`; the rest is left as it is.

    Args:
        network: What to change.
        features: Shape (texts, width), what it makes of each text at the first token (`first_tokens`).
        truth: Shape (texts,), the column of each one's label.
        label_smoothing: As in what follows, which would otherwise begin with taking back what is said here.
    """
    device = network.classifier.weight.device
    rows = torch.from_numpy(features).to(device)
    centre, axes = _principal_axes(rows)
    loss = torch.nn.CrossEntropyLoss(label_smoothing=label_smoothing)
    truths = torch.from_numpy(truth).to(device)
    weight, bias = _regression((rows - centre) @ axes.T, len(network.classifier.bias), lambda said: loss(said, truths))
    with torch.no_grad():
        # A ReLU lets half through. Each axis stands there twice, once with each sign, and the two halves make a whole.
        network.pre_classifier.weight.copy_(torch.cat((axes, -axes)))
        network.pre_classifier.bias.copy_(torch.cat((-axes @ centre, axes @ centre)))
        network.classifier.weight.copy_(torch.cat((weight, -weight), dim=1))
        network.classifier.bias.copy_(bias)


def _principal_axes(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows' mean, and the half of their principal axes along which they differ most, as rows.

    The axes are scaled so that what is read along all of them has a variance of 1 on average.
    """
    centre = rows.mean(dim=0)
    _, axes = torch.linalg.eigh((rows - centre).T @ (rows - centre))
    kept = axes[:, -(rows.shape[1] // 2) :].T
    return centre, kept / ((rows - centre) @ kept.T).std()


def _regression(
    rows: torch.Tensor, classes: int, loss: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights of shape (classes, width) and biases."""
    weight = torch.zeros(classes, rows.shape[1], device=rows.device, requires_grad=True)
    bias = torch.zeros(classes, device=rows.device, requires_grad=True)
    penalty = rows.square().sum(dim=1).mean() / (2 * _INVERSE_REGULARISATION * len(rows))
    search = torch.optim.LBFGS([weight, bias], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def regret() -> torch.Tensor:
        search.zero_grad()
        found = loss(rows @ weight.T + bias) + penalty * weight.square().sum()
        found.backward()
        return found

    search.step(regret)
    return weight.detach(), bias.detach()
