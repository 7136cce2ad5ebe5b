"""A model from what a checkpoint says: built from a file of unknown origin, it runs, fetches and writes nothing."""

import importlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

from torch import nn

from seg.models import checkpoint
from seg.models.building import build, first_line
from seg.models.heads import WithHeads
from seg.models.libraries import smp, timm
from seg.models.outputs import adapted

HEADS = frozenset({"seg.tasks.boxes.BoxHead"})
"""Targets of heads that a checkpoint may name without being trusted."""

_TIMM_OPTIONS = frozenset(
    {
        "act_layer",
        "attn_drop_rate",
        "drop_block_rate",
        "drop_path_rate",
        "drop_rate",
        "dynamic_img_pad",
        "dynamic_img_size",
        "global_pool",
        "img_size",
        "norm_layer",
        "num_features",
        "patch_size",
        "proj_drop_rate",
        "strict_img_size",
        "window_size",
    }
)
"""Options of timm's constructors that a checkpoint may give; others, such as cache_dir, name files and addresses."""


def restore(config: Mapping[str, Any], weights: Mapping[str, Any], *, trust: Sequence[str] = ()) -> nn.Module:
    """Build the model that a checkpoint names and load its weights.

    What the checkpoint names is decided on as text, before anything of it is imported: `build` and the classes of smp's
    architecture map, with options that are numbers, words, and lists of them. Weights are never fetched. Heads of
    modules that are neither ours nor trusted are left out: the segmentation is the same without them.

    Args:
        config: ``_target_`` and its arguments, plain data.
        weights: the state dict.
        trust: modules of the user's own from which the checkpoint may name a model.

    Raises:
        ValueError: another model, other arguments, or weights that do not fit.
    """
    arguments = dict(config)
    heads = arguments.pop("heads", {})
    target = arguments.pop("_target_", None)
    if _trusted(target, trust):
        model = _construct(_imported(target), target, arguments)
    else:
        with checkpoint.sealed():
            labels = arguments.pop("aux_params", None) if _classifies(weights) else None
            model = _construct(_known(target), target, _harmless(target, arguments) | _of_labels(target, labels))
    if known := _known_heads(heads, trust):
        model = WithHeads(model, {name: _head(head, trust) for name, head in known.items()})
    left_out = tuple(f"heads.{name}." for name in heads if name not in known)
    weights = {name: value for name, value in weights.items() if not name.startswith(left_out)} if left_out else weights
    try:
        model.load_state_dict(weights)
    except Exception as error:  # torch's are RuntimeErrors, but tensors of a damaged file find others
        raise ValueError(
            f"checkpoint: expected weights of its model '{target}', got others "
            f"({' '.join(str(error).split())[:200]}); the file is damaged or was edited"
        ) from None
    return adapted(model, config["classes"]).eval()


def transfer(
    model: nn.Module, weights: Mapping[str, Any], *, rows: Sequence[tuple[int, int]] | None = None
) -> list[str]:
    """Copy every weight whose name and shape fit (fine-tuning); return the names of those that do not fit.

    Args:
        rows: (class here, class there) of the classes that both models have; of the head, the module that ends the
            model, only these rows are copied. None = the classes are the same, in the same order.

    Raises:
        ValueError: nothing fits.
    """
    own = model.state_dict()
    head = [name for name in own if not name.startswith("heads.")][-1].rpartition(".")[0] if rows is not None else None
    fitting = {
        name: value
        for name, value in weights.items()
        if name in own and own[name].shape == value.shape and name.rpartition(".")[0] != head
    }
    for name in [name for name in own if name.rpartition(".")[0] == head and rows and name in weights]:
        ours, theirs = own[name].clone(), weights[name]
        if ours.shape[1:] == theirs.shape[1:]:
            here, there = zip(*rows or (), strict=True)
            ours[list(here)] = theirs[list(there)].to(ours)
            fitting[name] = ours
    if not fitting:
        raise ValueError(
            "init: expected weights that fit this model in name and shape, got none; choose the checkpoint's model=..."
        )
    model.load_state_dict(fitting, strict=False)
    return sorted(set(own) - set(fitting))


def _known(target: Any) -> Callable[..., nn.Module]:
    classes = {
        f"segmentation_models_pytorch.{kind.__name__}": kind for kind in smp.MODEL_ARCHITECTURES_MAPPING.values()
    }
    known: dict[Any, Callable[..., nn.Module]] = {"seg.models.build": build, **classes}
    if not isinstance(target, str) or target not in known:
        raise ValueError(
            "checkpoint: expected a model made by seg.models.build or a class of segmentation_models_pytorch, got "
            f"{str(target)[:80]!r}; if that is a model of your own, name its module: trust=[MODULE]"
        )
    return known[target]


def _known_heads(heads: Any, trust: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Return those heads that may be built."""
    if not isinstance(heads, Mapping) or not all(
        isinstance(name, str) and isinstance(head, Mapping) and isinstance(head.get("_target_"), str)
        for name, head in heads.items()
    ):
        raise ValueError(f"checkpoint: expected heads by name, got {str(heads)[:80]!r}; the file was edited")
    return {
        name: head for name, head in heads.items() if head["_target_"] in HEADS or _trusted(head["_target_"], trust)
    }


def _head(config: Mapping[str, Any], trust: Sequence[str]) -> nn.Module:
    target, arguments = str(config["_target_"]), {key: value for key, value in config.items() if key != "_target_"}
    constructor = _imported(target)
    if _trusted(target, trust):
        return _construct(constructor, target, arguments)
    _check_options(target, arguments, set(inspect.signature(constructor).parameters))
    with checkpoint.sealed():
        return _construct(constructor, target, arguments)


def _trusted(target: Any, trust: Sequence[str]) -> bool:
    return isinstance(target, str) and any(target.startswith(f"{module}.") for module in trust)


def _harmless(target: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments without pretrained weights, and without noise, which only trains; refuse all others."""
    encoder = arguments.get("encoder_name", "")
    own = encoder if isinstance(encoder, str) else "?"
    if not (timm.is_model(own[3:]) if own.startswith("tu-") else own in ("", *smp.encoders.encoders)):
        raise ValueError(f"checkpoint: expected an encoder of smp or timm, got {encoder!r}; the file was edited")
    if target == "seg.models.build":
        kind = smp.MODEL_ARCHITECTURES_MAPPING.get(str(arguments.get("architecture")))
        taken = {"architecture", *(inspect.signature(kind.__init__).parameters if kind else ())}
        taken |= {"upsampling"} if arguments.get("architecture") == "unet" else set()  # see `seg.models.stages`
    else:
        taken = {*inspect.signature(_known(target)).parameters}
    taken = (taken | (_TIMM_OPTIONS if encoder.startswith("tu-") else set())) - {"self", "kwargs", "aux_params"}
    kept = {name: value for name, value in arguments.items() if name not in {"encoder_weights", "regularizer"}}
    _check_options(target, kept, taken)
    return {**kept, "encoder_weights": None}


def _classifies(weights: Mapping[str, Any]) -> bool:
    """Tell whether these are of a model with smp's head that classifies whole images."""
    return any(str(name).startswith("classification_head.") for name in weights)


def _of_labels(target: str, options: Any) -> dict[str, Any]:
    """Return the argument that makes this head, if it has harmless options."""
    if not isinstance(options, Mapping):
        return {}
    _check_options(target, options, {"activation", "classes", "dropout", "pooling"})
    return {"aux_params": dict(options)}


def _check_options(target: str, given: Mapping[str, Any], taken: Set[str]) -> None:
    for name, value in given.items():
        if name not in taken or not _is_plain(value):
            raise ValueError(
                f"checkpoint: expected options of '{target}' that are numbers, words, or lists of them, got "
                f"{name}={str(value)[:60]!r}; the file was edited, or needs a newer version"
            )


def _is_plain(value: Any, depth: int = 2) -> bool:
    if isinstance(value, list | tuple):
        return depth > 0 and len(value) <= 64 and all(_is_plain(item, depth - 1) for item in value)
    if isinstance(value, str):
        return re.fullmatch(r"[\w.+-]{0,80}", value) is not None  # no path, no address
    if isinstance(value, int | float):
        return abs(value) <= 8192  # channels, sizes, rates: more would fill the memory; NaN compares as False
    return value is None


def _imported(target: str) -> Callable[..., Any]:
    """Import a constructor of the user's own."""
    module, _, name = target.rpartition(".")
    try:
        constructor: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"checkpoint: expected '{target}' to be importable, got {first_line(error)}; run the command where "
            f"'{module}' lies, or put it on PYTHONPATH"
        ) from None
    return constructor


def _construct(constructor: Callable[..., Any], target: str, arguments: Mapping[str, Any]) -> nn.Module:
    try:
        model = constructor(**arguments)
    except Exception as error:  # whatever smp, timm and torch have to say about values that make no model
        raise ValueError(
            f"checkpoint: expected arguments of which '{target}' can be built, got {dict(arguments)} "
            f"({first_line(error)}); the file was edited, or needs another version"
        ) from None
    if not isinstance(model, nn.Module):
        raise ValueError(f"checkpoint: expected '{target}' to make a model, got {type(model).__name__}; correct trust=")
    return model
