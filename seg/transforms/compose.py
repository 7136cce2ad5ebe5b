"""Several transforms as one."""

from collections.abc import Callable, Sequence

from torch import Tensor

from seg.transforms.draw import chance, integer
from seg.transforms.mix import ImageMask, Mix

Transform = Callable[[Tensor, Tensor], ImageMask]


class Compose:
    """Named transforms in order; a name set to None is left out (``augment.color=null``).

    A `Mix` among them gets its other images from the source given to `set_source`; they pass through the transforms
    before it.
    """

    def __init__(self, **transforms: Transform | None) -> None:
        self.transforms = {name: t for name, t in transforms.items() if t is not None}
        self._read: Callable[[int], ImageMask] | None = None
        self._count = 0

    def set_source(self, read: Callable[[int], ImageMask], count: int) -> None:
        """Set where other images to mix in come from: ``read(i)``, 0 <= i < count, untransformed."""
        self._read, self._count = read, count
        for transform in self.transforms.values():
            if isinstance(transform, Compose):
                transform.set_source(read, count)

    @property
    def crop_size(self) -> tuple[int, int] | None:
        """Height and width of the samples, where ``crop`` sets them."""
        size: tuple[int, int] | None = getattr(self.transforms.get("crop"), "size", None)
        return size

    def check_channels(self, channels: int) -> None:
        """Make sure that every transform takes images of so many channels.

        Raises:
            ValueError: one is set for another number.
        """
        for transform in self.transforms.values():
            look = getattr(transform, "check_channels", None)
            if callable(look):
                look(channels)

    def set_progress(self, step: int, total: int) -> None:
        """Tell every transform that ramps that ``step`` of the ``total`` steps of the run are done."""
        for transform in self.transforms.values():
            move = getattr(transform, "set_progress", None)
            if callable(move):
                move(step, total)

    def __call__(self, image: Tensor, mask: Tensor) -> ImageMask:
        return self._apply(image, mask, tuple(self.transforms.values()))

    def _apply(self, image: Tensor, mask: Tensor, transforms: Sequence[Transform]) -> ImageMask:
        for place, transform in enumerate(transforms):
            if not isinstance(transform, Mix):
                image, mask = transform(image, mask)
            elif chance(transform.p):
                others = [self._other(transforms[:place]) for _ in range(transform.others)]
                image, mask = transform.mix([(image, mask), *others])
        return image, mask

    def _other(self, transforms: Sequence[Transform]) -> ImageMask:
        if self._read is None:
            raise ValueError(
                "Compose: expected a source of other images to mix in, got none; call set_source(read, count), "
                "as SegmentationDataset does"
            )
        # only the transforms before the mix: those after it see the mixed image, with the other one in it
        return self._apply(*self._read(integer(self._count - 1)), transforms)
