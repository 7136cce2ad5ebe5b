"""How far the members of an ensemble disagree: a map, and a number for each image."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seg.metrics.catalogue import DISAGREEMENT
from seg.metrics.meters import Column


class Disagreement:
    """How far the members of an ensemble disagree at each pixel, as a head that is evaluated.

    The mutual information of the class and of who is asked: the entropy of the mean probabilities less the mean of the
    entropies of the members (Houlsby et al., "Bayesian active learning for classification and preference learning",
    2011; of ensembles Depeweg et al., ICML 2018). Divided by the most that it can be, the logarithm of the number of
    members or of classes, whichever is less: 0 where all give the same probabilities, be they sure or not, 1 where each
    is sure of another class. Times that logarithm it is in nats.
    """

    name, channels, metrics = "disagreement", 1, DISAGREEMENT
    of_members = True  # its map is none that each of them predicts: `seg.inference.ensemble` adds it

    def meter(self, images: int, names: Sequence[str]) -> "MeanDisagreement":
        """Return what takes the mean over the pixels of each image."""
        return MeanDisagreement(images)


class MeanDisagreement:
    """The mean of the disagreement over the pixels of each image, those that are ignored too, and over images.

    Totals: ``disagreement (images,)``. Score: ``disagreement``.
    """

    metrics = DISAGREEMENT

    def __init__(self, images: int) -> None:
        self.means = torch.zeros(images, dtype=torch.float64)

    def update(self, output: Tensor, logits: Tensor, mask: Tensor, index: Tensor) -> None:
        self.means[index.cpu()] = output.double().mean((1, 2, 3)).cpu()

    def totals(self) -> dict[str, Tensor]:
        return {Disagreement.name: self.means}

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        return {Disagreement.name: float(totals[Disagreement.name].mean())}

    def per_image(self, totals: dict[str, Tensor]) -> Iterator[Column]:
        values: NDArray[np.float64] = totals[Disagreement.name].numpy()
        yield Disagreement.name, "", values
