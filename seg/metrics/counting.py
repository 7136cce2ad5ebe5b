"""One pass over logits: prediction, confusion matrices, and how right the model is at each confidence."""

from typing import NamedTuple

import torch
from torch import Tensor

from seg.labels import IGNORE
from seg.metrics.counts import confusion_matrix


class Counted(NamedTuple):
    """What `count` found in a batch.

    Attributes:
        prediction: (N, H, W) uint8, the class of the largest logit; the first of equal ones.
        confusion: (N, C, C) int64 pixels; row = target, column = prediction.
        bins: (N, B, 3) float64; labelled pixels of each bin of confidence, sum of their confidences, and how many of
            them are right.
    """

    prediction: Tensor
    confusion: Tensor
    bins: Tensor


def count(logits: Tensor, mask: Tensor, *, bins: int = 0) -> Counted:
    """Count a batch; ignored pixels (255) count nowhere.

    Args:
        logits: (N, C, H, W).
        mask: (N, H, W) uint8, 255 = ignore.
        bins: number B of bins of equal width over [0, 1], each with its upper bound, for the confidence: the softmax
            of the predicted class.

    Raises:
        ValueError: a mask value outside 0..C-1 that is not 255.
    """
    classes = logits.shape[1]
    prediction = logits.argmax(1)
    confusion = torch.stack([confusion_matrix(p, m, classes) for p, m in zip(prediction, mask, strict=True)])
    table = torch.zeros(len(mask), bins, 3, dtype=torch.float64, device=logits.device)
    if bins:
        wide = logits if logits.dtype == torch.float64 else logits.float()
        confidence = (wide.amax(1) - wide.logsumexp(1)).exp()
        for row, sure, right, valid in zip(table, confidence, prediction == mask, mask != IGNORE, strict=True):
            place = (sure[valid] * bins).ceil().long().clamp(1, bins) - 1
            for column, values in enumerate((torch.ones_like(sure[valid]), sure[valid], right[valid])):
                row[:, column].index_add_(0, place, values.double())
    return Counted(prediction.to(torch.uint8), confusion, table)
