"""Regularizers: identity in evaluation, in training noise at a rate that a schedule may change.

What bites here:

- smp's efficientnet, mit, FPN, PSPNet, DeepLab and DPT are regularized by default; `describe` shows it.
- A residual block's ``downsample = None`` means identity in resnets, "take the input before it was normalised" in
  resnetv2 and nfnets, no shortcut in regnetz: `seg.regularizers.sites.filled_slots` tries it out.
- Neighbouring images look alike: batches of neighbours hide variance.
"""

from seg.regularizers.attach import attach, check_settings
from seg.regularizers.describe import describe
from seg.regularizers.drop_block import DropBlock
from seg.regularizers.dropout import Dropout
from seg.regularizers.spatial_dropout import SpatialDropout
from seg.regularizers.stochastic_depth import StochasticDepth
from seg.regularizers.uniform_dropout import UniformDropout
from seg.regularizers.variance import before_norms, variance_shift

__all__ = [
    "DropBlock",
    "Dropout",
    "SpatialDropout",
    "StochasticDepth",
    "UniformDropout",
    "attach",
    "before_norms",
    "check_settings",
    "describe",
    "variance_shift",
]
