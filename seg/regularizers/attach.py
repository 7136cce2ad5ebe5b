"""Put regularizers into a model that is built."""

import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor, nn

from seg.regularizers._rate import Regularizer
from seg.regularizers._sites import WORDS, Site, filled_slots, find, possible
from seg.regularizers._stock import Stock, stock
from seg.regularizers._trace import Trace, features_of, trace, with_features
from seg.regularizers.drop_block import DropBlock
from seg.regularizers.dropout import Dropout
from seg.regularizers.spatial_dropout import SpatialDropout
from seg.regularizers.stochastic_depth import StochasticDepth
from seg.regularizers.uniform_dropout import UniformDropout

Model = TypeVar("Model", bound=nn.Module)
Setting = float | Mapping[str, Any] | None

log = logging.getLogger("seg.regularizers")


@dataclass(frozen=True)
class _Plan:
    """A setting that was checked: regularizers of one class at some sites."""

    kind: str
    make: type[Regularizer]
    usual: str  # site, when none is named
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

    Evaluation gives the same bits as before, ``state_dict`` has the same keys, and the model can still be pickled,
    copied, compiled and exported (not scripted). ``print(model)`` shows every regularizer where it sits, `describe` a
    summary. They hang on modules of the model: whoever exchanges those, as ``SyncBatchNorm.convert_sync_batchnorm``
    does, does so before.

    Each setting is a rate in 0..1, or a mapping of the regularizer's arguments (``p`` or ``beta``, ``ramp``,
    ``block_size``, ...) and ``sites``: words, or patterns of module names (``encoder.layer4.*.conv2``), whose results
    are taken. The words:

    - ``branches``: the end of each residual branch of the encoder, before the sum (in a densenet, what a layer adds);
    - ``shortcuts``: the way around each residual branch of the encoder, projected or not;
    - ``skips``: the feature maps that the encoder hands to the decoder, the deepest one too;
    - ``decoder``: the decoder's result, as the last convolution takes it. Nothing is normalised after it, so that
      noise there shifts no statistics; see `variance_shift`.

    Where the model has such a regularizer of its own (drop connect, drop path, the dropout of some decoders), the
    setting replaces it: its own rate becomes 0, which is logged and shown.

    Args:
        stochastic_depth: by default on the branches, where block l of L has the rate l / L * p, in order of depth.
        dropblock: by default on the skips.
        spatial_dropout, uniform_dropout, dropout: by default on the decoder's result.

    Returns:
        The model.

    Raises:
        ValueError: a rate outside 0..1, an unknown argument, a site that the model lacks or never runs, or one that
            is taken already; the message lists what is possible.
    """
    settings = (
        ("stochastic_depth", StochasticDepth, "branches", stochastic_depth),
        ("dropblock", DropBlock, "skips", dropblock),
        ("spatial_dropout", SpatialDropout, "decoder", spatial_dropout),
        ("uniform_dropout", UniformDropout, "decoder", uniform_dropout),
        ("dropout", Dropout, "decoder", dropout),
    )
    plans = [_plan(*setting) for setting in settings if setting[-1] is not None]
    if not plans:
        return model
    with filled_slots(model):
        seen = trace(model)
        chosen = [(plan, _sites(model, seen, plan)) for plan in plans]  # all of them, before anything is changed
        for plan, sites in chosen:
            _place(model, plan, sites, _replaced(model, plan))
    return model


def _plan(kind: str, make: type[Regularizer], usual: str, setting: Any) -> _Plan:
    given = dict(setting) if isinstance(setting, Mapping) else {make.parameter: setting}
    sites = given.pop("sites", usual)
    sites = [sites] if isinstance(sites, str) else sites
    if not isinstance(sites, Sequence) or not sites or not all(isinstance(site, str) for site in sites):
        raise ValueError(f"{kind}.sites: expected {WORDS}, patterns of module names, or a list of such, got {sites!r}")
    taken = set(inspect.signature(make).parameters)
    if unknown := sorted(set(given) - taken):
        raise ValueError(f"{kind}: takes no {unknown}; it takes {sorted({*taken, 'sites'})}")
    if make.parameter not in given:
        raise ValueError(f"{kind}: lacks {make.parameter}; it takes {sorted({*taken, 'sites'})}")
    try:
        make(**given)
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
                f"{plan.kind}.sites: at {where} passes {seen.outputs[site.name]}, not (N, C, H, W); possible are "
                f"{possible(model, seen, maps_only=True)}"
            )
        if f"{site.label}_{plan.kind}".strip("_") in dict(model.get_submodule(site.owner).named_children()):
            raise ValueError(f"{plan.kind}: {where} carries one already; change it with set_rate, or build anew")
    return sites


def _replaced(model: nn.Module, plan: _Plan) -> str:
    """Silence what the setting takes the place of, and say what that was."""
    if plan.usual not in plan.sites:
        return ""
    own = [s for s in stock(model) if s.kind == plan.kind and (plan.usual != "decoder" or _decodes(s))]
    text = own[0].text if len(own) == 1 else f"{len(own)} from {own[0].text} to {own[-1].text}" if own else ""
    for one in own:
        one.silence()
    if text:
        log.info("%s: in place of the model's own %s", plan.kind, text)
    return text


def _decodes(own: Stock) -> bool:
    return own.name.startswith(("decoder", "segmentation_head"))


def _place(model: nn.Module, plan: _Plan, sites: list[Site], instead: str) -> None:
    branches = dict.fromkeys(site.block for site in sites if site.word == "branches")
    depths = {block: i for i, block in enumerate(branches, start=1)}
    for site in sites:
        regularizer = plan.make(**plan.arguments)
        if plan.make is StochasticDepth and site.word == "branches":
            regularizer = plan.make(**{**plan.arguments, "p": depths[site.block] / len(depths) * regularizer.p})
        regularizer.site, regularizer.instead = site.word, instead
        target = model.get_submodule(site.name)
        regularizer.to(next((p.device for p in model.parameters()), None)).train(target.training)
        model.get_submodule(site.owner).add_module(f"{site.label}_{plan.kind}".strip("_"), regularizer)
        if site.tap == "input":
            target.register_forward_pre_hook(_OnInput(regularizer))
        elif site.tap == "output":
            target.register_forward_hook(_OnOutput(regularizer))
        else:
            target.register_forward_hook(_OnFeature(regularizer, int(site.tap)))


class _Hook:
    """Hooks are objects of classes in a module, so that a model with them can be pickled."""

    def __init__(self, regularizer: Regularizer) -> None:
        self.regularizer = regularizer


class _OnInput(_Hook):
    def __call__(self, _module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self.regularizer(inputs[0]), *inputs[1:])


class _OnOutput(_Hook):
    def __call__(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Any:
        return self.regularizer(output)


class _OnFeature(_Hook):
    def __init__(self, regularizer: Regularizer, index: int) -> None:
        super().__init__(regularizer)
        self.index = index

    def __call__(self, _module: nn.Module, _inputs: Any, output: Any) -> Any:
        features = features_of(output)
        features[self.index] = self.regularizer(features[self.index])
        return with_features(output, features)
