"""Parameter groups and learning-rate schedules.

A schedule is a function ``(optimizer, *, steps) -> LRScheduler`` that is stepped once per optimizer step; ``steps`` are
those of the whole run. All of them rise linearly during ``warmup``, a share of the steps in [0, 1), and multiply the
rate of every parameter group. ``floor`` is the last rate as a share of the full one, in [0, 1]. They raise ValueError
where a share is out of its range, or another option is.
"""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from seg.files import checks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RateOptions:
    """Learning rates of parts of the model, as shares of the full one: the group ``rates``.

    Args:
        encoder: rate of the encoder, as a share of the full one.
        layer_decay: rate of each layer of the encoder, as a share of that of the layer after it. Layers are its modules
            and the members of its lists of modules, in the order in which the encoder registers them.
        frozen: share of its layers, the first ones, that are not trained: no gradient is computed for them, which
            costs time.

    Raises:
        ValueError: a share that is not positive; of ``frozen`` one that is not from 0 to below 1.
    """

    encoder: float = 1.0
    layer_decay: float = 1.0
    frozen: float = 0.0

    def __post_init__(self) -> None:
        checks.share("rates.frozen", self.frozen, "the encoder's layers", most=False)
        for name, share in (("encoder", self.encoder), ("layer_decay", self.layer_decay)):
            checks.number(f"rates.{name}", share, above=0, what="a share", remedy="1.0 is the full rate")


def freeze(model: nn.Module, share: float) -> None:
    """Exclude the first layers of a model's encoder from the training; see `RateOptions`.

    Raises:
        ValueError: it has no encoder, or the share is less than one of its layers.
    """
    if share == 0:
        return
    layers = _layers(encoder_of(model, "rates", "rates.frozen=0"))
    if (number := int(share * len(layers))) == 0:
        raise ValueError(
            f"rates.frozen: expected at least one of the encoder's {len(layers)} layers, got a share of {share}; give "
            f"{math.ceil(100 / len(layers)) / 100} or more, or 0 to train all of them"
        )
    for parameter in (p for layer in layers[:number] for p in layer):
        parameter.requires_grad_(False)
    log.info(f"rates.frozen: the first {number} of the encoder's {len(layers)} layers are not trained")


def encoder_of(model: nn.Module, asked: str, without: str) -> nn.Module:
    """Return the encoder of a model.

    Args:
        asked: the option that needs it.
        without: options with which none is needed.

    Raises:
        ValueError: it has none.
    """
    inner = getattr(model, "encoder", None)
    if not isinstance(inner, nn.Module):
        raise ValueError(f"{asked}: expected a model with an encoder, got {type(model).__name__}; give {without}")
    return inner


def parameter_groups(
    model: nn.Module,
    *others: nn.Module,
    lr: float | None = None,
    rates: RateOptions = RateOptions(),  # frozen
    apart: Iterable[tuple[nn.Module, float]] = (),
) -> list[dict[str, Any]]:
    """Group trainable parameters: no weight decay for biases and normalisation scales; those of the full rate first.

    Args:
        model: with an ``encoder`` where one of the rates below is not 1.
        others: modules with further parameters, such as a loss.
        lr: the full learning rate.
        rates: of the parts of the model.
        apart: parts of the others, and the rate of each as a share of the full one.

    Raises:
        ValueError: no full rate, or no encoder.
    """
    other: list[tuple[list[nn.Parameter], float]] = []
    if (rates.encoder, rates.layer_decay) != (1.0, 1.0):
        layers, full = _encoder_layers(model, rates.layer_decay), _full(lr) * rates.encoder
        other += [(layer, full * rates.layer_decay**depth) for depth, layer in enumerate(reversed(layers))]
    other += [(list(module.parameters()), _full(lr) * share) for module, share in apart if share != 1.0]
    within = {id(p) for parameters, _ in other for p in parameters}
    groups = _by_decay(p for module in (model, *others) for p in module.parameters() if id(p) not in within)
    return groups + [{**group, "lr": rate} for parameters, rate in other for group in _by_decay(parameters)]


def _full(lr: float | None) -> float:
    if lr is None:
        raise ValueError("rates: expected optimizer.lr, got none; give it, so that shares of it can be taken")
    return lr


def _encoder_layers(model: nn.Module, layer_decay: float) -> list[list[nn.Parameter]]:
    inner = encoder_of(model, "rates", "rates.encoder=1.0 and rates.layer_decay=1.0")
    return _layers(inner) if layer_decay != 1.0 else [list(inner.parameters())]


def _by_decay(parameters: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
    trained = [p for p in parameters if p.requires_grad]
    decayed, others = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": decayed}] if decayed else []
    return [*groups, {"params": others, "weight_decay": 0.0}] if others else groups


def _layers(encoder: nn.Module) -> list[list[nn.Parameter]]:
    """List the parameters of each layer; those that lie beside the modules, such as tokens, belong to the first."""
    inner = encoder
    while len(children := list(inner.children())) == 1:  # a wrapper of another library's model
        inner = children[0]
    modules = [
        module
        for child in inner.children()
        for module in (child.children() if isinstance(child, nn.ModuleList | nn.Sequential) else [child])
    ]
    layers = [parameters for module in modules if (parameters := list(module.parameters()))]
    known = {id(p) for layer in layers for p in layer}
    if beside := [p for p in encoder.parameters() if id(p) not in known]:
        layers[:1] = [beside + layers[0]] if layers else [beside]
    return layers


def cosine(optimizer: Optimizer, *, steps: int, warmup: float = 0.05, floor: float = 0.0) -> LRScheduler:
    """Return half a cosine (Loshchilov & Hutter 2017, one cycle)."""
    _check_shares(floor=floor)
    return _warmed(optimizer, steps, warmup, lambda done: floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))


def poly(
    optimizer: Optimizer, *, steps: int, warmup: float = 0.0, power: float = 0.9, floor: float = 0.0
) -> LRScheduler:
    """Return a power of the share of the run that is left (Liu et al. 2015, ParseNet); ``power=1`` falls linearly."""
    _check_shares(floor=floor)
    checks.number("scheduler.power", power, above=0, remedy="0.9 is usual")
    return _warmed(optimizer, steps, warmup, lambda done: floor + (1 - floor) * (1 - done) ** power)


def step(
    optimizer: Optimizer,
    *,
    steps: int,
    warmup: float = 0.0,
    milestones: Sequence[float] = (0.6, 0.85),
    factor: float = 0.1,
) -> LRScheduler:
    """Return a rate that is multiplied by ``factor`` at each milestone, in [0, 1] of the steps after the warm-up."""
    _check_shares(factor=factor, **{f"milestones.{i}": share for i, share in enumerate(milestones)})
    return _warmed(optimizer, steps, warmup, lambda done: factor ** sum(done >= share for share in milestones))


def restarts(
    optimizer: Optimizer, *, steps: int, warmup: float = 0.0, cycles: int = 4, floor: float = 0.0
) -> LRScheduler:
    """Return half a cosine in each of ``cycles`` equal parts of the run, from the full rate to the floor every time.

    Loshchilov & Hutter 2017.
    """
    _check_shares(floor=floor)
    checks.whole("scheduler.cycles", cycles, 1)

    def shape(done: float) -> float:
        within = done * cycles % 1 if done < 1 else 1.0
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * within))

    return _warmed(optimizer, steps, warmup, shape)


def one_cycle(
    optimizer: Optimizer, *, steps: int, rising: float = 0.3, start: float = 0.04, floor: float = 4e-6
) -> LRScheduler:
    """Return half a cosine up and half a cosine down (Smith & Topin 2018); the rate alone, momentum stays.

    Args:
        rising: share of the steps that lead up, in (0, 1).
        start: first rate as a share of the full one, in [0, 1].
    """
    _check_shares(rising=rising, start=start, floor=floor)
    peak, end = rising * steps - 1, steps - 1  # torch counts so

    def factor(now: int) -> float:
        below, share = (start, 1 - now / peak) if now <= peak else (floor, (now - peak) / max(end - peak, 1))
        return below + (1 - below) * 0.5 * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0)))

    return LambdaLR(optimizer, factor)


def constant(optimizer: Optimizer, *, steps: int, warmup: float = 0.0) -> LRScheduler:
    """Return a rate that does not change after the warm-up."""
    return _warmed(optimizer, steps, warmup, lambda _: 1.0)


def _warmed(optimizer: Optimizer, steps: int, warmup: float, shape: Callable[[float], float]) -> LRScheduler:
    """Return a schedule: a linear rise, then ``shape`` of the share in [0, 1] of the other steps that are done."""
    checks.share("scheduler.warmup", warmup, "the run", most=False)
    rising = round(warmup * steps)

    def factor(now: int) -> float:
        if now < rising:
            return (now + 1) / rising
        return shape(min((now - rising) / max(steps - rising, 1), 1.0))

    return LambdaLR(optimizer, factor)


def _check_shares(**shares: float) -> None:
    for name, share in shares.items():
        checks.share(f"scheduler.{name}", share)


def check_plateau(scheduler: object) -> None:
    """Refuse a schedule that waits for scores to fall: those where lower is better are negated before it sees them.

    Raises:
        ValueError: torch's ``ReduceLROnPlateau`` with its default mode.
    """
    if isinstance(scheduler, ReduceLROnPlateau) and scheduler.mode != "max":
        raise ValueError(
            f"scheduler.mode: expected max, because scores where lower is better are negated, got '{scheduler.mode}'; "
            "give max"
        )
