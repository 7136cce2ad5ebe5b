"""Measure what regularizers do to the statistics of batch normalisation."""

import copy
import math
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn.modules.batchnorm import _BatchNorm

from seg.regularizers._rate import Regularizer
from seg.regularizers._sites import blocks
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
    """Name of each batch normalisation -> the nearest regularizer with a rate above 0 that its input went through.

    '' for none. Followed is the flow of the values, not the order of the layers: the branches and the shortcut of a
    block, or two skips, do not stand before one another.
    """
    tags: dict[Node, str] = {}  # on what a regularizer gave
    known: dict[Node, tuple[float, str]] = {}
    found = {}

    def tag(text: str, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        output = output.clone()  # in evaluation it gave its input, which others may take as well
        assert output.grad_fn is not None
        tags[output.grad_fn] = text
        return output

    def look(name: str, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found[name] = _nearest(inputs[0].grad_fn, tags, known)

    named = dict(model.named_modules())
    handles = [named[name].register_forward_hook(partial(tag, text)) for name, text in _noisy(model).items()]
    for name, module in named.items():
        if isinstance(module, _BatchNorm):
            handles.append(module.register_forward_pre_hook(partial(look, name)))
    try:
        trace(model)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _noisy(model: nn.Module) -> dict[str, str]:
    """Name of each module whose result is noisy in training -> what to call the noise."""
    ours = {name: module for name, module in model.named_modules() if isinstance(module, Regularizer) and module.p > 0}
    modules: dict[str, nn.Module] = dict(ours)
    modules |= {own.name: own.module for own in stock(model) if own.attribute != DROP_CONNECT}
    found = {name: f"{name} ({type(module).__name__})" for name, module in modules.items()}
    for own in stock(model):
        if own.attribute == DROP_CONNECT:  # done by the blocks, to the end of their branch
            taps = (f"{name}.{end}" for name, _, ends in blocks(model) for end in ends)
            found |= dict.fromkeys(taps, f"{own.name} ({own.title})")
    return found


def _nearest(node: Node | None, tags: dict[Node, str], known: dict[Node, tuple[float, str]]) -> str:
    """The tag that is the fewest steps of autograd's graph away, of those that lead to a node; known: for later."""
    stack = [] if node is None else [node]
    while stack:
        top = stack[-1]
        before = [] if top in tags else [source for source, _ in top.next_functions if source is not None]
        if top not in known and (missing := [source for source in before if source not in known]):
            stack += missing
            continue
        steps, text = min((known[source] for source in before), default=(math.inf, ""))
        known[top] = (0, tags[top]) if top in tags else (steps + 1, text)
        stack.pop()
    return "" if node is None else known[node][1]


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
