"""Transforms in order."""

from collections.abc import Callable, Sequence

from torch import Tensor

from seg.transforms._draw import chance, integer
from seg.transforms.mix import Mix, Sample

Transform = Callable[[Tensor, Tensor], Sample]


class Compose:
    """Named transforms in order; a name set to None is left out (``augment.color=null``).

    A `Mix` among them gets its other samples from where `set_source` says; they have gone through what stands before
    it.
    """

    def __init__(self, **transforms: Transform | None) -> None:
        self.transforms = {name: t for name, t in transforms.items() if t is not None}
        self._read: Callable[[int], Sample] | None = None
        self._count = 0

    def set_source(self, read: Callable[[int], Sample], count: int) -> None:
        """Say where samples that are mixed in come from: ``read(i)``, 0 <= i < count, untransformed."""
        self._read, self._count = read, count
        for transform in self.transforms.values():
            if isinstance(transform, Compose):
                transform.set_source(read, count)

    def set_progress(self, step: int, total: int) -> None:
        """Tell all that ramps that ``step`` of ``total`` steps are done."""
        for transform in self.transforms.values():
            move = getattr(transform, "set_progress", None)
            if callable(move):
                move(step, total)

    def __call__(self, image: Tensor, mask: Tensor) -> Sample:
        return self._apply(image, mask, tuple(self.transforms.values()))

    def _apply(self, image: Tensor, mask: Tensor, transforms: Sequence[Transform]) -> Sample:
        for place, transform in enumerate(transforms):
            if not isinstance(transform, Mix):
                image, mask = transform(image, mask)
            elif chance(transform.p):
                others = [self._other(transforms[:place]) for _ in range(transform.others)]
                image, mask = transform.mix([(image, mask), *others])
        return image, mask

    def _other(self, transforms: Sequence[Transform]) -> Sample:
        if self._read is None:
            raise ValueError("no samples to mix in: a data set gives them by set_source(read, count)")
        return self._apply(*self._read(integer(self._count - 1)), transforms)
