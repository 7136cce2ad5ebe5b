"""Encoder-decoder models of segmentation-models-pytorch, from plain arguments."""

import difflib
import inspect
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from seg.models import pretrained, stages
from seg.models.libraries import smp, timm
from seg.regularizers import attach

log = logging.getLogger(__name__)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Normalization = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel (RGB, images scaled to 0..1)."""


def build(
    architecture: str,
    *,
    classes: int,
    encoder_name: str = "resnet18",
    encoder_weights: str | None = None,
    in_channels: int = 3,
    regularizer: Mapping[str, Any] | None = None,
    **options: Any,
) -> nn.Module:
    """Build a model ``(N, in_channels, H, W) -> logits (N, classes, H, W)``; H and W are multiples of 32.

    What is taken of a file of weights is logged.

    Args:
        architecture: an smp architecture in lower case, such as ``unet``, ``fpn``, ``deeplabv3plus``.
        classes: number of classes, without the ignored ones.
        encoder_name: an smp encoder, such as ``resnet18``, ``mit_b0``, ``tu-convnext_tiny``.
        encoder_weights: name of pretrained weights (``imagenet``), fetched on first use, or a file with them, .pth or
            .safetensors; None = from scratch.
        in_channels: of the images; pretrained weights of the first layer are repeated or summed for others than RGB.
        regularizer: settings of `seg.regularizers.attach`, such as ``{"dropblock": 0.1}``.
        options: further arguments of the smp class (``decoder_channels``, ...), or, for ``tu-`` encoders, of timm. With
            ``upsampling=2`` or ``4`` the decoder of a ``unet``, too, ends at that part of the image's size, and the
            logits are resized: the last stages cost the most.

    Raises:
        ValueError: an unknown architecture, encoder, weights, option or regularizer, or one without effect.
        RuntimeError: the pretrained weights could not be fetched.
    """
    path = encoder_weights if pretrained.is_file(encoder_weights) else None
    from_file = {} if path is None else pretrained.read_weights(path)
    encoder_weights = None if path else encoder_weights
    check_build(architecture, encoder_name=encoder_name, encoder_weights=encoder_weights, **options)
    model: Any
    weights = True if encoder_name.startswith("tu-") and encoder_weights else encoder_weights  # timm has no names
    with _fetching(encoder_name, encoder_weights):
        try:
            model = _create(architecture, encoder_name, weights, in_channels, classes=classes, **options)
        except TypeError as error:  # timm's way to say that it does not know an option
            raise ValueError(f"{architecture}/{encoder_name}: {error}") from error
        except Exception as error:
            if in_channels == 3 or "in_channels" not in str(error):
                raise
            raise ValueError(
                f"{architecture}/{encoder_name}: expected an encoder that takes images of {in_channels} channels, got "
                f"'{first_line(error)}'; choose another encoder, or three bands with data.bands"
            ) from error
    if path is not None:
        log.info(f"encoder: {path}, {pretrained.fill(model.encoder, from_file, path)}")
    return _regularized(model, regularizer) if regularizer else model


def _create(architecture: str, encoder_name: str, weights: str | bool | None, in_channels: int, **options: Any) -> Any:
    given = stages.with_all_stages(architecture, options)
    model = smp.create_model(architecture, encoder_name, weights, in_channels=in_channels, **given)
    stages.leave_out(model, architecture, options)
    return model


def _regularized(model: nn.Module, regularizer: Mapping[str, Any]) -> nn.Module:
    kinds = [name for name, p in inspect.signature(attach).parameters.items() if p.kind is p.KEYWORD_ONLY]
    if unknown := sorted(set(regularizer) - set(kinds)):
        raise ValueError(
            f"regularizer: expected some of {', '.join(kinds)}, got {', '.join(unknown)}; correct the name"
        )
    return attach(model, **regularizer)


def check_build(
    architecture: str, *, encoder_name: str = "resnet18", encoder_weights: str | None = None, **options: Any
) -> None:
    """Refuse what `build` would refuse, without building anything; the arguments are those of `build`.

    Raises:
        ValueError: an unknown architecture, encoder, name of weights, or option.
    """
    known = smp.MODEL_ARCHITECTURES_MAPPING
    if architecture not in known:
        raise ValueError(f"architecture: expected one of {', '.join(sorted(known))}, got '{architecture}'; choose one")
    _check_encoder(encoder_name, None if pretrained.is_file(encoder_weights) else encoder_weights)
    if not encoder_name.startswith("tu-"):  # smp swallows what such encoders do not take
        taken = set(inspect.signature(known[architecture].__init__).parameters) - {"self", "kwargs"}
        taken |= {"upsampling"} if architecture == "unet" else set()
        unknown = sorted(set(options) - taken - {"classes", "in_channels", "regularizer"})
        if unknown:
            raise ValueError(
                f"{architecture}/{encoder_name}: expected options among {', '.join(sorted(taken))}, got "
                f"{', '.join(unknown)}; correct or leave them out"
            )


def try_build(architecture: str, *, encoder_name: str = "resnet18", in_channels: int = 3, **options: Any) -> None:
    """Build a model without weights, so that what does not go together is found before data are read.

    Raises:
        ValueError: see `check_build`; or what the library raises.
    """
    check_build(architecture, encoder_name=encoder_name, **options)
    options = {key: value for key, value in options.items() if key not in ("encoder_weights", "regularizer")}
    make = partial(_create, architecture, encoder_name, None, in_channels, **{"classes": 1} | options)
    try:
        with torch.device("meta"):  # takes neither time nor memory
            make()
    except Exception:  # some encoders compute while they are built: Tensor.item()
        make()


@contextmanager
def _fetching(encoder_name: str, encoder_weights: str | None) -> Iterator[None]:
    """Say what to do when pretrained weights, or their mean and deviation, cannot be fetched."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # what urllib, httpx and the hub raise without a network
        if encoder_weights is None:
            raise
        reason = first_line(error)
        raise RuntimeError(
            f"pretrained weights '{encoder_weights}' of '{encoder_name}' could not be fetched ({reason}); run once "
            "with a network connection, or train from scratch with model.encoder_weights=null, or start from a "
            "checkpoint of yours with init=FILE"
        ) from error


def _check_encoder(name: str, weights: str | None) -> None:
    encoders: dict[str, Any] = smp.encoders.encoders
    if name.startswith("tu-"):
        if ":" not in name and not timm.is_model(name.removeprefix("tu-")):
            raise ValueError(
                f"encoder_name: expected a model of timm after tu-, got '{name.removeprefix('tu-')}'; "
                "timm.list_models() lists all"
            )
        if weights not in (None, "imagenet"):  # smp takes any word for the model's usual weights
            raise ValueError(
                f"encoder_weights: expected imagenet or null for '{name}', got {weights!r}; give imagenet: other "
                "weights of timm stand in the name, as in tu-resnet18.a1_in1k"
            )
        return
    if name not in encoders:
        close = difflib.get_close_matches(name, encoders, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "tu-NAME takes any encoder of timm"
        raise ValueError(f"encoder_name: expected an encoder of smp, got '{name}'; {hint}")
    settings = encoders[name]["pretrained_settings"]
    if weights is not None and weights not in settings:
        raise ValueError(
            f"encoder_weights: expected {', '.join(sorted(settings))} or null for '{name}', got '{weights}'; choose one"
        )


def normalization(encoder_name: str, encoder_weights: str | None) -> Normalization:
    """Return mean and standard deviation a channel (RGB, images scaled to 0..1) that the encoder was pretrained with.

    Without pretrained weights: ImageNet's. With those of a file: what is known of the encoder's weights elsewhere.

    Raises:
        ValueError: the encoder wants another order of channels.
        RuntimeError: the parameters, which lie beside the weights, could not be fetched.
    """
    if encoder_weights is None:
        return IMAGENET_MEAN, IMAGENET_STD
    if pretrained.is_file(encoder_weights):  # timm knows it of many encoders without a network
        name = encoder_name.removeprefix("tu-").removeprefix("timm-")
        known = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
        return (tuple(known.mean), tuple(known.std)) if known else (IMAGENET_MEAN, IMAGENET_STD)
    with _fetching(encoder_name, encoder_weights):
        parameters = smp.encoders.get_preprocessing_params(encoder_name, encoder_weights)
    if parameters.get("input_space", "RGB") != "RGB":
        raise ValueError(
            f"encoder_name: expected an encoder for RGB images, got '{encoder_name}' for {parameters['input_space']}; "
            "choose another one"
        )
    scale = parameters.get("input_range", [0, 1])[-1]
    mean = tuple(float(m) / scale for m in parameters["mean"])
    return mean, tuple(float(s) / scale for s in parameters["std"])


def first_line(error: Exception) -> str:
    """Return what an error says, without the pages that torch adds."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
