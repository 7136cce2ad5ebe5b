"""Measure what regularizers do to the statistics of batch normalisation."""

import copy
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from seg.regularizers._rate import Regularizer
from seg.regularizers._stock import DROP_CONNECT, stock
from seg.regularizers._trace import trace

SEED = 7_230_941
"""No seed that somebody gives data: noise drawn from the seed of random images would be correlated with them."""


def variance_shift(
    model: nn.Module, batches: Iterable[Tensor], *, regularized: bool = True, estimate: bool = True
) -> dict[str, float]:
    """How far the variance that a batch normalisation remembers is from the one that it meets in evaluation.

    Remembered / real, of variances averaged over the channels; Li et al. 2019, arXiv:1801.05134, take the larger of
    that and its inverse. Noise before a normalisation is in the variance that it remembers and absent in evaluation.
    A copy of the model is measured: its normalisations forget, are estimated anew in training mode, and compared in
    evaluation mode. The same seed is used at every call; the caller's random state stays.

    Even without noise the ratio is below 1, because images of one batch vary less than those of all, and each
    normalisation hands that on: draw each batch from all images, and compare with ``regularized=False``.

    Args:
        batches: images (N, 3, H, W), normalised, N > 1; they are passed twice.
        regularized: False = the control: every regularizer off, the model's own ones too.
        estimate: False = compare the variances that the model remembers now.

    Returns:
        Name of each batch normalisation that runs, in order -> ratio, 1 = no shift; NaN where nothing varies.

    Raises:
        ValueError: no batch normalisation, no batches, or batches that are too small.
    """
    batches = list(batches)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    if not batches:
        raise ValueError("variance_shift: expected at least one batch of images, got none")
    model = copy.deepcopy(model)
    norms = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.running_var is not None
    }
    if not norms:
        raise ValueError("variance_shift: the model has no batch normalisation with running statistics to shift")
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(SEED)
        if estimate:
            _estimate(model, norms, (batch.to(device) for batch in batches), regularized)
        real = _real(model.eval(), norms, (batch.to(device) for batch in batches))
    ratios = {
        name: float(torch.as_tensor(norms[name].running_var).double().mean() / variance.mean())
        for name, variance in real.items()
    }
    return {name: ratio if 0 < ratio < math.inf else math.nan for name, ratio in ratios.items()}


def before_norms(model: nn.Module) -> dict[str, str]:
    """Name of each batch normalisation -> the regularizer with a rate above 0 that ran last before it, '' for none."""
    active = {name for name, module in model.named_modules() if isinstance(module, Regularizer) and module.p > 0}
    own = {one.name: one.title for one in stock(model)}
    last = next((f"{name} ({title})" for name, title in own.items() if title == "drop connect"), "")
    found = {}
    for name in trace(model).outputs:
        module = model.get_submodule(name)
        if name in active or (name in own and not hasattr(module, DROP_CONNECT)):
            last = f"{name} ({type(module).__name__})"
        elif isinstance(module, _BatchNorm):
            found[name] = last
    return found


def _estimate(model: nn.Module, norms: dict[str, Any], batches: Iterable[Tensor], regularized: bool) -> None:
    model.train()
    for norm in norms.values():
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over the batches
    if not regularized:
        for one in stock(model):
            one.silence()
    for module in model.modules():
        if isinstance(module, Regularizer):
            module.set_rate(module.p)  # of a ramp its end
            module.train(regularized)
    try:
        for batch in batches:
            model(batch)
    except ValueError as error:  # torch: "Expected more than 1 value per channel when training"
        raise ValueError(f"variance_shift: {error}; give batches of several larger images") from None


def _real(model: nn.Module, norms: dict[str, Any], batches: Iterable[Tensor]) -> dict[str, Tensor]:
    """Variance of each channel of what reaches the normalisations, over all batches."""
    sums: dict[str, Tensor] = {}

    def add(name: str, values: Tensor) -> None:
        values = values.detach().transpose(0, 1).flatten(1).double()
        moments = torch.stack([torch.full_like(values[:, 0], values.shape[1]), values.sum(1), values.square().sum(1)])
        sums[name] = sums[name] + moments if name in sums else moments

    handles = [
        norm.register_forward_pre_hook(lambda _, inputs, name=name: add(name, inputs[0]))
        for name, norm in norms.items()
    ]
    for batch in batches:
        model(batch)
    for handle in handles:
        handle.remove()
    return {
        name: (squares - total.square() / count) / (count - 1).clamp(min=1)
        for name, (count, total, squares) in sums.items()
    }
