"""The places in a model where a regularizer can be put."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from seg.regularizers.trace import Trace, trace

WORDS = ("branches", "shortcuts", "skips", "decoder")
"""Names of sites, as `seg.regularizers.attach` explains them; anything else is a pattern of module names."""


@dataclass(frozen=True)
class Site:
    """A place in a model.

    Attributes:
        word: one of `WORDS`, or the pattern.
        name: of the module whose input or output is regularized.
        tap: ``output`` or ``input`` of that module, or the index of a feature map that it returns.
        owner: name of the module that the regularizer becomes a child of.
        label: the child's name, before the kind.
        block: name of the residual block, or of the module.
        is_map: whether a tensor (N, C, H, W) passes there.
    """

    word: str
    name: str
    tap: str | int
    owner: str
    label: str
    block: str
    is_map: bool


def find(model: nn.Module, seen: Trace, wanted: Sequence[str]) -> list[Site]:
    """Return the sites that the words and patterns name, in the order in which the model runs them.

    Raises:
        ValueError: this model has no site of one of these names; the message lists those that it has.
    """
    taken: dict[tuple[str, str | int], Site] = {}
    # words first: a place that a pattern names too stays a branch, with the rate of its depth
    for word in sorted(wanted, key=lambda word: word not in WORDS):
        sites = _of(model, seen, word)
        if not sites:
            raise ValueError(f"sites: expected a site of this model, got '{word}'; choose from {possible(model, seen)}")
        for site in sites:
            taken.setdefault((site.name, site.tap), site)
    return list(taken.values())


def possible(model: nn.Module, seen: Trace, *, maps_only: bool = False) -> str:
    """Return the sites of this model, as text, with the number of each."""
    words = []
    for word in WORDS:
        count = sum(site.is_map or not maps_only for site in _of(model, seen, word))
        if count:
            words.append(f"'{word}' ({count})")
    return ", ".join([*words, "patterns of module names such as 'decoder.*' or 'encoder.layer4.*.conv2'"])


def blocks(model: nn.Module) -> Iterator[tuple[str, nn.Module, list[str]]]:
    """Yield residual blocks of the encoder: name, module, names of what ends a branch ('' = the block itself)."""
    encoder = getattr(model, "encoder", None)
    if not isinstance(encoder, nn.Module):
        return
    for name, block in encoder.named_modules(prefix="encoder"):
        ends = _branch_ends(block)
        if ends:
            yield name, block, ends


@contextmanager
def filled_slots(model: nn.Module) -> Iterator[None]:
    """Fill the empty slots of residual blocks (None) with identities, which can be hooked, and empty unused ones again.

    None does not mean identity in all models: blocks that normalise first decide by it where the shortcut starts. So
    each kind of slot is filled on trial, and only stays filled if the model's result is the same to the bit.
    """
    slots = []
    before = trace(model).result
    for name in ("drop_path", "drop_path1", "drop_path2", "downsample"):
        empty = [block for _, block, _ in blocks(model) if getattr(block, name, block) is None]
        for block in empty:
            setattr(block, name, nn.Identity().train(block.training))
        if empty and not _gives(model, before):
            for block in empty:
                setattr(block, name, None)
        else:
            slots += [(block, name) for block in empty]
    try:
        yield
    finally:
        for block, name in slots:
            if not block.get_submodule(name)._forward_hooks:
                setattr(block, name, None)


def _gives(model: nn.Module, result: Tensor) -> bool:
    try:
        return torch.equal(trace(model).result, result)
    except ValueError:
        return False


def _branch_ends(block: nn.Module) -> list[str]:
    # by names, because encoders come from three libraries that have no class in common
    children = dict(block.named_children())
    kind = type(block).__name__
    paths = [name for name in ("drop_path", "drop_path1", "drop_path2") if hasattr(block, name)]
    if paths:
        return paths  # timm, and smp's mix transformer
    if "se_module" in children:
        return ["se_module"]  # smp's senet family
    if kind in ("BasicBlock", "Bottleneck"):  # torchvision's resnets
        return ["bn3"] if "bn3" in children else ["bn2"]
    if getattr(block, "_has_drop_connect", False):
        return ["_bn2"]  # smp's efficientnet
    if getattr(block, "use_res_connect", False):
        return ["conv"]  # torchvision's mobilenet
    if kind == "_DenseLayer":
        return [""]  # concatenated with all earlier features instead of added to them
    return []


def _of(model: nn.Module, seen: Trace, word: str) -> list[Site]:
    """Return the sites of a word or pattern that the model runs, in the order in which it runs them."""
    if word == "skips":
        return [Site(word, "encoder", i, "encoder", f"skip{i}", "encoder", True) for i in seen.features]
    if word == "decoder":
        name = _last_convolution(model, seen)
        return [Site(word, name, "input", "", "decoder", "decoder", True)] if name else []
    if word == "branches":
        taps = {f"{block}.{end}".rstrip("."): block for block, _, ends in blocks(model) for end in ends}
    elif word == "shortcuts":
        ways = ("downsample", "shortcut")  # of resnets, of convnext
        taps = {f"{block}.{way}": block for block, module, _ in blocks(model) for way in ways if hasattr(module, way)}
    else:
        taps = {name: _owner(model, name) for name in seen.outputs if fnmatchcase(name, word)}
    return [_output(word, name, taps[name], seen) for name, shape in seen.outputs.items() if name in taps and shape]


def _output(word: str, name: str, owner: str, seen: Trace) -> Site:
    label = name.removeprefix(owner).strip(".").replace(".", "_")
    block = owner if word in WORDS else name
    return Site(word, name, "output", owner, label, block, seen.is_map(seen.outputs[name]))


def _last_convolution(model: nn.Module, seen: Trace) -> str | None:
    """Return the name of the layer that makes the logits: no normalisation comes after it."""
    head = getattr(model, "segmentation_head", None)
    if not isinstance(head, nn.Module):
        return None
    names = [n for n, module in head.named_modules(prefix="segmentation_head") if isinstance(module, nn.Conv2d)]
    return next((name for name in reversed(seen.outputs) if name in names), None)


def _owner(model: nn.Module, name: str) -> str:
    """Return the nearest ancestor that is no container: an `nn.Sequential` would run one more child."""
    while name:
        name = name.rpartition(".")[0]
        if not isinstance(model.get_submodule(name), nn.Sequential | nn.ModuleList | nn.ModuleDict):
            break
    return name
