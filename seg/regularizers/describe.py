"""Describe the regularizers of a model."""

from collections import defaultdict

from torch import nn

from seg.regularizers.rate import Regularizer
from seg.regularizers.stock import stock


def describe(model: nn.Module) -> str:
    """Return a line for each kind of regularizer and site, the model's own too: rates, number, first and last place."""
    groups = defaultdict(list)
    for name, module in model.named_modules():
        if isinstance(module, Regularizer):
            settings = f" over the first {module.ramp:.0%} of the run" if module.ramp else ""
            instead = f"; in place of the model's own {module.instead}" if module.instead else ""
            key = type(module).__name__, module.parameter, module.site or "its own place", settings, instead
            groups[key].append((name, module.p))
    lines = [
        f"{kind}, {parameter} {_rates(places)}{settings}, at {site}: {_places(places)}{instead}"
        for (kind, parameter, site, settings, instead), places in groups.items()
    ]
    owned = defaultdict(list)
    for own in stock(model):
        owned[own.title].append((own.name, own.rate))
    lines += [f"{title}, the model's own, p {_rates(places)}: {_places(places)}" for title, places in owned.items()]
    return "\n".join(lines) or "no regularizers"


def _rates(places: list[tuple[str, float]]) -> str:
    rates = [rate for _, rate in places]
    least, most = f"{min(rates):.3g}", f"{max(rates):.3g}"
    return least if least == most else f"{least} to {most}"


def _places(places: list[tuple[str, float]]) -> str:
    names = [name for name, _ in places]
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} from {names[0]} to {names[-1]}"
