"""Measure how regularizers shift the statistics of batch normalisation."""

import copy
import math
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn.modules.batchnorm import _BatchNorm

from seg.regularizers.rate import Regularizer
from seg.regularizers.sites import blocks
from seg.regularizers.stock import DROP_CONNECT, stock
from seg.regularizers.trace import trace

SEED = 7_230_941
"""A seed that nobody uses for data: noise drawn from the seed of random images would be correlated with them."""


def variance_shift(
    model: nn.Module, batches: Iterable[Tensor], *, regularized: bool = True, estimate: bool = True
) -> dict[str, float]:
    """Measure the ratio of each batch normalisation's running variance to the variance of its input in evaluation.

    Running / real, each averaged over the channels; Li et al. 2019, arXiv:1801.05134, take the larger of the ratio and
    its inverse. Noise before a normalisation is part of the running variance, and absent in evaluation. The ratios are
    those of a copy of the model: its running statistics are reset, estimated again in training mode, and compared in
    evaluation mode. Every call uses the same seed; the caller's random state is left as it is.

    Even without noise the ratio is below 1, because the images of one batch vary less than those of all, which each
    normalisation passes on: draw each batch from all images, and compare with ``regularized=False``.

    Args:
        batches: images (N, 3, H, W), normalised, N > 1; the model sees them twice.
        regularized: False = the control: every regularizer is off, including the model's own.
        estimate: False = compare the running variances that the model has now.

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
        raise ValueError(
            "model: expected batch normalisation with running statistics, got none; without it nothing is shifted"
        )
    # a fork, because a measurement in the middle of a run must not change the noise of the steps after it
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(SEED)
        if estimate:
            _estimate(model, norms, (batch.to(device) for batch in batches), regularized)
        real = _real(model.eval(), norms, (batch.to(device) for batch in batches))
    ratios = {
        name: float(torch.as_tensor(norms[name].running_var).cpu().double().mean() / variance.cpu().mean())
        for name, variance in real.items()
    }
    return {name: ratio if 0 < ratio < math.inf else math.nan for name, ratio in ratios.items()}


def before_norms(model: nn.Module) -> dict[str, str]:
    """Return for each batch normalisation the nearest regularizer with a rate above 0 that its input went through.

    '' for none. The flow of the values is followed, not the order of the layers: of the branch and the shortcut of a
    block, or of two skips, neither comes before the other.
    """
    tags: dict[Node, str] = {}  # by the node of autograd's graph that made a regularizer's output
    known: dict[Node, tuple[float, str]] = {}
    nearest = {}

    def tag(text: str, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        output = output.clone()  # in evaluation the output is the input itself, which others may take as well
        assert output.grad_fn is not None
        tags[output.grad_fn] = text
        return output

    def note(name: str, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nearest[name] = _nearest(inputs[0].grad_fn, tags, known)

    named = dict(model.named_modules())
    with ExitStack() as hooks:
        for name, text in _noisy(model).items():
            hooks.enter_context(named[name].register_forward_hook(partial(tag, text)))
        for name, module in named.items():
            if isinstance(module, _BatchNorm):
                hooks.enter_context(module.register_forward_pre_hook(partial(note, name)))
        trace(model)
    return nearest


def _noisy(model: nn.Module) -> dict[str, str]:
    """Return what to call the noise of each module whose output is noisy in training, by its name."""
    ours = {name: module for name, module in model.named_modules() if isinstance(module, Regularizer) and module.p > 0}
    modules: dict[str, nn.Module] = dict(ours)
    modules |= {own.name: own.module for own in stock(model) if own.attribute != DROP_CONNECT}
    names = {name: f"{name} ({type(module).__name__})" for name, module in modules.items()}
    for own in stock(model):
        if own.attribute == DROP_CONNECT:  # applied by the blocks, at the end of their branch
            taps = (f"{name}.{end}" for name, _, ends in blocks(model) for end in ends)
            names |= dict.fromkeys(taps, f"{own.name} ({own.title})")
    return names


def _nearest(node: Node | None, tags: dict[Node, str], known: dict[Node, tuple[float, str]]) -> str:
    """Return the tag the fewest steps upstream of ``node`` in autograd's graph, '' if there is none.

    ``known`` keeps (steps, tag) of every node seen, for later calls: each node is visited once. An explicit stack,
    because the graph of a deep model exceeds Python's recursion limit.
    """
    if node is None:
        return ""
    stack = [node]
    while stack:
        top = stack[-1]
        if top in tags:
            known[top] = (0, tags[top])
        if top in known:
            stack.pop()
            continue
        sources = [source for source, _ in top.next_functions if source is not None]
        unknown = [source for source in sources if source not in known]
        if unknown:
            stack += unknown  # `top` is looked at again when they are known
            continue
        steps, text = min((known[source] for source in sources), default=(math.inf, ""))
        known[top] = (steps + 1, text)
    return known[node][1]


def _estimate(model: nn.Module, norms: dict[str, Any], batches: Iterable[Tensor], regularized: bool) -> None:
    model.train()
    for norm in norms.values():
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over the batches, instead of an average that decays
    if not regularized:
        for own in stock(model):
            own.silence()
    for module in model.modules():
        if isinstance(module, Regularizer):
            module.set_rate(module.p)  # the end of its ramp
            module.train(regularized)
    try:
        for batch in batches:
            model(batch)
    except ValueError as error:  # torch: "Expected more than 1 value per channel when training"
        raise ValueError(
            f"batches: expected enough pixels to normalise over, got '{error}'; give batches of several larger images"
        ) from None


def _real(model: nn.Module, norms: dict[str, Any], batches: Iterable[Tensor]) -> dict[str, Tensor]:
    """Measure the variance of each channel of the normalisations' inputs, over all batches."""
    sums: dict[str, Tensor] = {}

    def add(name: str, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        # in float64: the variance is a small difference of two large sums; Apple's GPUs have none
        values = inputs[0].cpu() if inputs[0].device.type == "mps" else inputs[0]
        values = values.detach().transpose(0, 1).flatten(1).double()
        moments = torch.stack([torch.full_like(values[:, 0], values.shape[1]), values.sum(1), values.square().sum(1)])
        sums[name] = sums[name] + moments if name in sums else moments

    with ExitStack() as hooks:
        for name, norm in norms.items():
            hooks.enter_context(norm.register_forward_pre_hook(partial(add, name)))
        for batch in batches:
            model(batch)
    return {
        name: (squares - total.square() / count) / (count - 1).clamp(min=1)
        for name, (count, total, squares) in sums.items()
    }
