"""Checks before the first step, for failures that would come after an epoch, or as another library's error."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from seg.data.batches import Batch, TrainBatches
from seg.data.source import Data
from seg.inference import memory_for, out_of_memory
from seg.models import WrongOutput, first_line
from seg.tasks.objective import seen_by_batch
from seg.training import State


def try_sizes(
    model: nn.Module,
    predict: Callable[[Tensor], Tensor],
    dataset: Any,
    data: Data,
    batches: TrainBatches,
    device: torch.device,
) -> None:
    """Predict empty images of the sizes that are to come, before hours are spent: some encoders take one size alone.

    Args:
        model: that is trained.
        predict: images -> its logits, in evaluation mode.
        dataset: of the training samples.

    Raises:
        ValueError: the model refuses one, or training images of several sizes would meet in a batch.
    """
    examples = {size: index for index, size in reversed(list(enumerate(data.train_sizes)))}
    cropped = {tuple(dataset[0, index].mask.shape) for index in list(examples.values())[:3]}
    if len(cropped) > 1 and batches.batch > batches.world:
        shown = " and ".join("x".join(map(str, size)) for size in sorted(cropped))
        raise ValueError(
            f"augment: expected training images of one size in a batch, got {shown}; give "
            "augment.crop.size=[HEIGHT,WIDTH], or loader.batch=1"
        )
    channels = dataset[0, 0].image.shape[0]
    by_area = sorted(set(data.val_sizes), key=lambda size: size[0] * size[1])
    remedies = {
        "training": "cut the data to it (seg-preprocess tile=, augment.crop.size=)",
        "validation": "predict windows of its size, such as inference=sliding inference.window=224",
    }
    for part, found in (("training", [*cropped]), ("validation", [*{by_area[0], by_area[-1]}])):
        for height, width in found:
            try:
                with torch.inference_mode():
                    predict(torch.zeros(1, channels, height, width, device=device))
            except WrongOutput:
                raise
            except Exception as error:  # smp, timm and torch all have their ways to refuse a size
                if out_of_memory(error):
                    raise
                raise ValueError(
                    f"model: expected one that takes {part} images of {height}x{width}, got a refusal "
                    f"({first_line(error)}); {_of_any_size(model)}choose an encoder that takes any size, give its size "
                    f"such as +model.img_size=[HEIGHT,WIDTH], or {remedies[part]}"
                ) from None


def _of_any_size(model: nn.Module) -> str:
    """Return what makes timm's transformers take any size, where the model has one that can, and does not yet."""
    named = "dynamic_img_size"
    able = [part for part in model.modules() if named in inspect.signature(type(part).__init__).parameters]
    return f"give +model.{named}=true, " if able and not any(getattr(part, named, False) for part in able) else ""


@contextmanager
def explained(advise: Callable[[], str]) -> Iterator[None]:
    """Turn two torch errors into advice: batch normalisation over a single value, and out of memory.

    Args:
        advise: what helps where memory runs out.
    """
    try:
        with memory_for(advise):
            yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            "loader.batch: expected at least two images a process, because this model normalises over the batch where "
            "maps are one pixel small, got 1; raise loader.batch"
        ) from None


def fitting_batch(state: State, loader: DataLoader[Any], batches: TrainBatches) -> str:
    """Return what helps a training whose memory ran out, found by trying steps of fewer images."""
    others = "augment.crop.size, device.precision=bf16-mixed or a smaller model need less"
    if state.fabric.world_size > 1:  # the others do not take part in a trial
        return f"lower loader.batch or loader.val_batch; {others}"
    size = loader.dataset[0, 0].mask.shape
    for batch in (batches.batch // 2**power for power in range(batches.batch.bit_length())):
        if not _step_fits(state, batch, tuple(size)):
            continue
        if batch == batches.batch:
            return "a training step fits, the validation does not: lower loader.val_batch, or cut the images into tiles"
        times = -(-batches.batch // batch) * batches.accumulate
        apart = ", ".join(batch_by_batch(state))
        but = f" (though {batch} at a time for {apart})" if apart else ""
        return (
            f"loader.batch={batch} fits (tried) instead of {batches.batch}; with fit.accumulate={times} a step has "
            f"{times * batch} images{but}; {others}"
        )
    return f"not even a batch of one image fits (tried); {others}"


def batch_by_batch(state: State) -> list[str]:
    """Name what sees the batches of a step one at a time, where it would see a larger batch as a whole."""
    normalised = any(isinstance(module, _BatchNorm) for module in state.model.modules())
    return [*seen_by_batch(state.objective), *(["batch normalisation"] if normalised else [])]


def _step_fits(state: State, batch: int, size: tuple[int, ...]) -> bool:
    """Try whether memory holds the loss and gradient of so many empty images."""
    channels = next(p for p in state.model.parameters() if p.ndim == 4).shape[1]
    device = state.fabric.device
    try:
        images = torch.zeros(batch, channels, *size, device=device)
        masks = torch.zeros(batch, *size, dtype=torch.uint8, device=device)
        state.fabric.backward(state.objective(state.wrapped, Batch(images, masks, torch.arange(batch), {})).total)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return False
    finally:
        state.optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return True
