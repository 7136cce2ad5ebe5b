"""How the values of a file become the 8-bit image that models see: which bands, over which range, turned or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seg.files import checks

Range = tuple[tuple[float, float], ...]
"""One (low, high) for all bands, or one for each, in units of the file."""

PERCENTILES: Literal["percentiles"] = "percentiles"
_RGB = (0, 1, 2)
_MOST_BANDS = 512  # OpenCV's limit


@dataclass(frozen=True)
class Reading:
    """The options of reading an image, which a model needs the same way as in its training.

    Args:
        bands: of the file, counted from 0, in the order that the model sees; None = RGB, from gray by repeating it, and
            without alpha.
        range: values that become 0 and 255, what lies beyond is clipped; None = all that 8 or 16 bits hold;
            ``percentiles`` = those of the training set, not measured yet (`seg.images.percentiles`).
        exif: turn images as their EXIF orientation says.

    Raises:
        ValueError: another value.
    """

    bands: tuple[int, ...] | None = None
    range: Range | Literal["percentiles"] | None = None
    exif: bool = True

    def __post_init__(self) -> None:
        bands, limits = self.bands, self.range
        if bands is not None and not (
            isinstance(bands, tuple)
            and 0 < len(bands) <= _MOST_BANDS
            and all(checks.is_whole(band) and 0 <= band < 65536 for band in bands)
        ):
            raise ValueError(
                f"bands: expected numbers of bands, counted from 0, got {_shown(bands)}; give such as [0,1,2]"
            )
        if limits is not None and limits != PERCENTILES and not _is_range(limits, self.channels):
            raise ValueError(
                f"range: expected [low,high] in units of the files, one such pair for each of {self.channels} bands, "
                f"or percentiles, got {_shown(limits)}; give such as [0,4095]"
            )
        checks.flag("exif", self.exif)

    @property
    def channels(self) -> int:
        """Of the image that the model sees."""
        return 3 if self.bands is None else len(self.bands)

    @property
    def is_rgb(self) -> bool:
        """Whether the channels are red, green and blue, which is what pretrained models know."""
        return self.bands in (None, _RGB)

    def converted(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Convert the values of a file, (H, W) or (H, W, bands), red first, to an image (H, W, channels) uint8.

        Raises:
            ValueError: bands that are missing, or a type of numbers that needs a range.
        """
        return self.scaled(self.chosen(pixels[..., None] if pixels.ndim == 2 else pixels))

    def chosen(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return the chosen bands of (H, W, bands), in order.

        Raises:
            ValueError: there are not as many, or more than RGB and alpha and none was chosen.
        """
        have = pixels.shape[2]
        if self.bands is None:
            if have not in (1, 3, 4):
                raise ValueError(
                    f"expected 1, 3 or 4 bands, got {have}; choose some for training with data.bands, such as [0,1,2]"
                )
            return np.repeat(pixels, 3, 2) if have == 1 else pixels[..., :3]
        if max(self.bands) >= have:
            raise ValueError(
                f"expected at least {max(self.bands) + 1} bands for data.bands=[{','.join(map(str, self.bands))}], got "
                f"{have}; choose other bands, or take the file out"
            )
        return pixels[..., list(self.bands)]

    def shares(self, pixels: NDArray[Any]) -> NDArray[np.float64]:
        """Scale values (..., channels) so that the ends of the range become 0 and 1, not clipped.

        Raises:
            ValueError: values that are not finite, or a type of numbers that needs a range.
        """
        if self.range is None and pixels.dtype not in (np.uint8, np.uint16):
            raise ValueError(
                f"expected 8 or 16 bits a channel, got {pixels.dtype}; say which values are black and white with "
                "data.range=[low,high], or data.range=percentiles"
            )
        check_finite(pixels)
        low, high = self._ends(pixels.dtype)
        return (pixels.astype(np.float64) - low) / (high - low)

    def scaled(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Scale values (H, W, channels) of any type to uint8.

        Raises:
            ValueError: see `shares`.
        """
        if self.range is None and pixels.dtype == np.uint8:
            return np.ascontiguousarray(pixels)
        if self.range is None and pixels.dtype == np.uint16:
            return np.ascontiguousarray((pixels.astype(np.uint32) + 128) // 257, np.uint8)
        return np.asarray(np.rint(255 * self.shares(pixels).clip(0, 1)), np.uint8)

    def _ends(self, kind: np.dtype[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.range == PERCENTILES:
            raise ValueError("range: expected numbers, got percentiles, which are of a training set; measure them")
        ends = np.array(self.range or [(0, np.iinfo(kind).max)], np.float64)
        return ends[:, 0], ends[:, 1]

    def with_range(self, limits: Range) -> "Reading":
        """Return the same with another range."""
        return replace(self, range=limits)

    def text(self) -> str:
        """Show the options as they are typed."""
        limits = self.range if isinstance(self.range, str) else _shown(self.range) if self.range else "null"
        bands = _shown(self.bands) if self.bands else "null"
        return f"bands={bands} range={limits} exif={'apply' if self.exif else 'ignore'}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, for checkpoints."""
        limits = self.range if self.range in (None, PERCENTILES) else [list(pair) for pair in self.range or ()]
        return {"bands": None if self.bands is None else list(self.bands), "range": limits, "exif": self.exif}

    @classmethod
    def of(cls, bands: Any = None, range: Any = None, exif: Any = True, *, prefix: str = "") -> "Reading":
        """Take plain data: lists instead of tuples, one pair without its list, ``apply`` and ``ignore``.

        Args:
            prefix: of the options' names, for messages.

        Raises:
            ValueError: other values.
        """
        if exif in ("apply", "ignore"):
            exif = exif == "apply"
        elif not isinstance(exif, bool):
            checks.choice(f"{prefix}exif", exif, ("apply", "ignore"))
        if isinstance(range, Sequence) and not isinstance(range, str):
            pairs = [range] if range and not isinstance(range[0], Sequence) else range
            range = tuple(tuple(pair) if isinstance(pair, Sequence) else (pair,) for pair in pairs)
        try:
            return cls(tuple(bands) if isinstance(bands, list) else bands, range, exif)
        except ValueError as error:
            raise ValueError(f"{prefix}{error}") from None

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Reading":
        """Return what `to_dict` gave.

        Raises:
            ValueError: anything else.
        """
        if not isinstance(plain, Mapping) or set(plain) != {"bands", "range", "exif"} or plain["range"] == PERCENTILES:
            raise ValueError(f"expected bands, range and exif, got {str(plain)[:60]!r}")
        return cls.of(**plain)


RGB = Reading()
"""What is read without any option."""


def check_finite(pixels: NDArray[Any]) -> None:
    """Refuse NaN and infinity in (..., channels), which have no gray level.

    Raises:
        ValueError: there are some; the message says how many.
    """
    if pixels.dtype.kind == "f" and not (finite := np.isfinite(pixels)).all():
        bad = (~finite).any(-1)  # gray was repeated: pixels are counted, not values
        raise ValueError(
            f"expected finite values, got NaN or infinity in {int(bad.sum()):,} of {bad.size:,} pixels; write a "
            "number in their place, and let the mask ignore them"
        )


def _is_range(value: Any, channels: int) -> bool:
    def is_number(end: Any) -> bool:
        return checks.is_number(end) and abs(end) < 1e30

    return (
        isinstance(value, tuple)
        and len(value) in (1, channels)
        and all(len(pair) == 2 and all(map(is_number, pair)) and pair[0] < pair[1] for pair in value)
    )


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(map(_shown, value))}]"
    return str(value)
