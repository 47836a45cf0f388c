"""What the tier says of a text does not depend on what else it is asked."""

from __future__ import annotations

import numpy as np

from models.zero_shot import Head

WIDTH, CLASSES, TEXTS = 384, 80, 400


def test_a_texts_logits_are_the_same_alone_and_in_any_company() -> None:
    chance = np.random.default_rng(5)
    weights = chance.normal(size=(WIDTH, CLASSES)).astype(np.float32)
    head = Head(weights=weights * 4, bias=np.zeros(CLASSES, np.float32), temperature=1.0)
    embeddings = chance.normal(size=(TEXTS, WIDTH)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    together = head.logits(embeddings)
    alone = np.vstack([head.logits(embeddings[row : row + 1]) for row in range(TEXTS)])
    # At most the last digit, where the sum stands right between two.
    assert (together == alone).mean() > 0.999
    assert np.abs(together - alone).max() <= np.spacing(np.abs(together).max())
