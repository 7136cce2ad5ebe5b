"""Losses: ``forward(logits, target) -> scalar``.

Letters: N images, C classes, H x W pixels. ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64,
255 = ignore. For every loss an ignored pixel has no influence on the value and zero gradient, whatever its logits;
without a labelled pixel the loss is 0 with zero gradients.
"""

from seg.losses.cross_entropy import CrossEntropy

__all__ = ["CrossEntropy"]
