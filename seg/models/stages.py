"""The stages of a U-Net's decoder, of which the last ones cost the most: half the time of a light model."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from seg.models.libraries import smp

ENDS = (1, 2, 4)
DEPTH, CHANNELS = 5, (256, 128, 64, 32, 16)  # smp's own


def with_all_stages(architecture: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options for smp of a U-Net that has all stages; those of other architectures as they are.

    Args:
        options: of them ``upsampling``, which smp's U-Net lacks, is taken out, and ``decoder_channels``, those of the
            stages that there are to be, are filled up.

    Raises:
        ValueError: another ``upsampling``, or channels of more or fewer stages.
    """
    left_out = _left_out(architecture, options)
    given = {key: value for key, value in options.items() if key != "upsampling" or architecture != "unet"}
    if left_out == 0:
        return given
    depth = int(given.get("encoder_depth", DEPTH))
    if left_out >= depth:
        raise ValueError(
            f"upsampling: expected at most {ENDS[depth - 1]} with encoder_depth={depth}, so that a stage is left, got "
            f"{options['upsampling']}; choose less"
        )
    channels = list(given.get("decoder_channels", CHANNELS[: depth - left_out]))
    if len(channels) != depth - left_out:
        raise ValueError(
            f"decoder_channels: expected {depth - left_out} numbers with upsampling={options['upsampling']}, of the "
            f"stages down to 1/{options['upsampling']} of the image, got {channels}; leave out the last ones"
        )
    return {**given, "decoder_channels": [*channels, *channels[-1:] * left_out]}


def leave_out(model: nn.Module, architecture: str, options: Mapping[str, Any]) -> None:
    """Take the last stages from a U-Net; its head resizes the logits, linearly.

    Args:
        options: those that `with_all_stages` took.
    """
    if left_out := _left_out(architecture, options):
        blocks: Any = model.decoder.blocks  # type: ignore[union-attr]
        head: Any = model.segmentation_head
        channels = blocks[-left_out - 1].conv2[0].out_channels
        model.decoder.blocks = blocks[:-left_out]  # type: ignore[union-attr]
        model.segmentation_head = smp.base.SegmentationHead(
            channels, head[0].out_channels, kernel_size=3, activation=options.get("activation"),
            upsampling=options["upsampling"],
        )  # fmt: skip
        smp.base.initialization.initialize_head(model.segmentation_head)


def _left_out(architecture: str, options: Mapping[str, Any]) -> int:
    """Return how many stages are left out."""
    upsampling = options.get("upsampling", 1)
    if architecture != "unet":
        return 0
    if isinstance(upsampling, bool) or upsampling not in ENDS:
        raise ValueError(f"upsampling: expected one of {', '.join(map(str, ENDS))}, got {upsampling!r}; choose one")
    return ENDS.index(upsampling)
