"""Put regularizers into a built model."""

import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn

from seg.regularizers.drop_block import DropBlock
from seg.regularizers.dropout import Dropout
from seg.regularizers.rate import Regularizer
from seg.regularizers.sites import WORDS, Site, filled_slots, find, possible
from seg.regularizers.spatial_dropout import SpatialDropout
from seg.regularizers.stochastic_depth import StochasticDepth
from seg.regularizers.stock import stock
from seg.regularizers.trace import Trace, features_of, trace, with_features
from seg.regularizers.uniform_dropout import UniformDropout

Model = TypeVar("Model", bound=nn.Module)
Setting = float | Mapping[str, Any] | None

log = logging.getLogger("seg.regularizers")


@dataclass(frozen=True)
class _Plan:
    """A checked setting: regularizers of one class at some sites."""

    kind: str
    make: type[Regularizer]
    usual: str  # the site if none is named
    arguments: dict[str, Any]
    sites: tuple[str, ...]

    @property
    def maps_only(self) -> bool:
        return self.make in (DropBlock, SpatialDropout)


def attach(
    model: Model,
    *,
    stochastic_depth: Setting = None,
    dropblock: Setting = None,
    spatial_dropout: Setting = None,
    uniform_dropout: Setting = None,
    dropout: Setting = None,
) -> Model:
    """Put regularizers into a model of segmentation-models-pytorch, in place.

    Evaluation gives the same result to the bit, the ``state_dict`` has the same keys, and the model can still be
    pickled, copied, compiled and exported (not scripted). ``print(model)`` shows every regularizer where it sits,
    `describe` a summary. Regularizers are hooks on modules of the model: replace modules first, as
    ``SyncBatchNorm.convert_sync_batchnorm`` does, and attach afterwards.

    Each setting is a rate in 0..1, or a mapping of the regularizer's arguments (``p`` or ``beta``, ``ramp``,
    ``block_size``, ...) and ``sites``: words, or patterns of module names (``encoder.layer4.*.conv2``) whose outputs
    are regularized. The words:

    - ``branches``: the end of each residual branch of the encoder, before the sum (in a densenet, what a layer adds);
    - ``shortcuts``: the way around each residual branch of the encoder, projected or not;
    - ``skips``: the feature maps that the encoder hands to the decoder, including the deepest;
    - ``decoder``: the output of the decoder, as the last convolution takes it. Nothing is normalised after it, so that
      noise there shifts no statistics; see `variance_shift`.

    If the model has such a regularizer of its own (drop connect, drop path, the dropout of some decoders), the setting
    replaces it: the rate of the model's own becomes 0, which is logged and shown.

    Args:
        stochastic_depth: by default on the branches, where block l of L has the rate l / L * p, in order of depth.
        dropblock: by default on the skips.
        spatial_dropout, uniform_dropout, dropout: by default on the output of the decoder.

    Returns:
        The model.

    Raises:
        ValueError: a rate outside 0..1, an unknown argument, a site that the model lacks or never runs, or one that
            has such a regularizer already; the message lists what is possible.
    """
    plans = check_settings(
        stochastic_depth=stochastic_depth,
        dropblock=dropblock,
        spatial_dropout=spatial_dropout,
        uniform_dropout=uniform_dropout,
        dropout=dropout,
    )
    if not plans:
        return model
    with filled_slots(model):
        seen = trace(model)
        # all sites are found before anything is changed: a wrong setting leaves the model as it was
        chosen = [(plan, _sites(model, seen, plan)) for plan in plans]
        for plan, sites in chosen:
            _place(model, plan, sites, _replaced(model, plan))
    return model


def check_settings(**settings: Setting) -> list[_Plan]:
    """Refuse settings of `attach` that no model can have.

    Raises:
        ValueError: an unknown argument, or a value out of range.
    """
    kinds: dict[str, tuple[type[Regularizer], str]] = {
        "stochastic_depth": (StochasticDepth, "branches"),
        "dropblock": (DropBlock, "skips"),
        "spatial_dropout": (SpatialDropout, "decoder"),
        "uniform_dropout": (UniformDropout, "decoder"),
        "dropout": (Dropout, "decoder"),
    }
    return [_plan(kind, *kinds[kind], setting) for kind, setting in settings.items() if setting is not None]


def _plan(kind: str, make: type[Regularizer], usual: str, setting: Any) -> _Plan:
    given = dict(setting) if isinstance(setting, Mapping) else {make.parameter: setting}
    sites = given.pop("sites", usual)
    if isinstance(sites, str):
        sites = [sites]
    if not isinstance(sites, Sequence) or not sites or not all(isinstance(site, str) for site in sites):
        raise ValueError(f"{kind}.sites: expected {WORDS}, patterns of module names, or a list of such, got {sites!r}")
    known = sorted({*inspect.signature(make).parameters, "sites"})
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"{kind}: expected arguments of {make.__name__}, got {unknown}; it takes {known}")
    if make.parameter not in given:
        raise ValueError(f"{kind}: expected a rate, got only {sorted(given)}; set {make.parameter}")
    try:
        make(**given)  # only for its checks
    except ValueError as error:
        raise ValueError(f"{kind}.{error}") from None
    return _Plan(kind, make, usual, given, tuple(sites))


def _sites(model: nn.Module, seen: Trace, plan: _Plan) -> list[Site]:
    try:
        sites = find(model, seen, plan.sites)
    except ValueError as error:
        raise ValueError(f"{plan.kind}.{error}") from None
    for site in sites:
        where = f"'{site.word}' ({site.name})"
        if plan.maps_only and not site.is_map:
            raise ValueError(
                f"{plan.kind}.sites: expected feature maps (N, C, H, W), got {seen.outputs[site.name]} at {where}; "
                f"choose from {possible(model, seen, maps_only=True)}"
            )
        if f"{site.label}_{plan.kind}".strip("_") in dict(model.get_submodule(site.owner).named_children()):
            raise ValueError(
                f"{plan.kind}: expected sites without {plan.kind}, got {where}, which has it already; "
                "change its rate with set_rate, or build the model anew"
            )
    return sites


def _replaced(model: nn.Module, plan: _Plan) -> str:
    """Silence the model's own regularizers that the setting replaces, and describe them; '' if there are none."""
    if plan.usual not in plan.sites:
        return ""
    prefix = ("decoder", "segmentation_head") if plan.usual == "decoder" else ""
    owned = [own for own in stock(model) if own.kind == plan.kind and own.name.startswith(prefix)]
    if not owned:
        return ""
    text = owned[0].text if len(owned) == 1 else f"{len(owned)} from {owned[0].text} to {owned[-1].text}"
    for own in owned:
        own.silence()
    log.info("%s: in place of the model's own %s", plan.kind, text)
    return text


def _place(model: nn.Module, plan: _Plan, sites: list[Site], instead: str) -> None:
    branches = dict.fromkeys(site.block for site in sites if site.word == "branches")
    depths = {block: i for i, block in enumerate(branches, start=1)}
    for site in sites:
        regularizer = plan.make(**plan.arguments)
        if plan.make is StochasticDepth and site.word == "branches":
            regularizer = plan.make(**{**plan.arguments, "p": depths[site.block] / len(depths) * regularizer.p})
        regularizer.site, regularizer.instead = site.word, instead
        target = model.get_submodule(site.name)
        # in the mode of its site, or a model in evaluation would be noisy until the next call of eval()
        regularizer.to(next((p.device for p in model.parameters()), None)).train(target.training)
        # a child, so that it moves, switches mode and is printed with the model; what calls it is the hook
        model.get_submodule(site.owner).add_module(f"{site.label}_{plan.kind}".strip("_"), regularizer)
        # hooks are partial functions and not closures, so that the model can be pickled
        if site.tap == "input":
            target.register_forward_pre_hook(partial(_on_input, regularizer))
        elif site.tap == "output":
            target.register_forward_hook(partial(_on_output, regularizer))
        else:
            target.register_forward_hook(partial(_on_feature, regularizer, int(site.tap)))


def _on_input(regularizer: Regularizer, _module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (regularizer(inputs[0]), *inputs[1:])


def _on_output(regularizer: Regularizer, _module: nn.Module, _inputs: Any, output: Tensor) -> Any:
    return regularizer(output)


def _on_feature(regularizer: Regularizer, index: int, _module: nn.Module, _inputs: Any, output: Any) -> Any:
    features = features_of(output)
    features[index] = regularizer(features[index])
    return with_features(output, features)
