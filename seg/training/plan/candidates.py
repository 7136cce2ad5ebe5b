"""Models and crops that are worth a measurement, and what one found."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

from seg.training.budget import Costs
from seg.training.plan.facts import Facts

MODELS = ("unet_small", "unet_light")
"""Groups of ``conf/model``, the one that is preferred first."""

_SHARES = (1.0, 0.7, 0.5)  # of the sides of the largest crop; the area falls by half from one to the next
_FEW = 200  # images, below which a batch has four, so that an epoch has steps enough
_BATCH, _SMALL = 8, 4  # images of a step; of few images, or of a model that begins at random
_MULTIPLE = 32
_HALF, _SEEN = 0.5, 40_000  # scale of a model that begins at random, and pixels of an image that are then to be left


@dataclass(frozen=True)
class Candidate:
    """A model at a crop.

    Attributes:
        model: a group of ``conf/model``.
        crop: height and width of the windows that are trained on.
        batch: images computed at once.
        accumulate: of these that make a step.
        scale: of the images, before windows are cut from them.
    """

    MOST: ClassVar[int] = 512 * 512
    """Pixels of a window."""

    model: str
    crop: tuple[int, int]
    batch: int
    accumulate: int = 1
    scale: float = 1.0

    @property
    def pixels(self) -> int:
        """Of a window."""
        return self.crop[0] * self.crop[1]

    @property
    def images(self) -> int:
        """Of a step."""
        return self.batch * self.accumulate


@dataclass(frozen=True)
class Measured:
    """What a candidate takes on this machine.

    Attributes:
        epoch: steps of an epoch.
        memory: most bytes of the process (of the GPU, where there is one); None where it cannot be known.
        before: bytes before it was built.
    """

    candidate: Candidate
    costs: Costs
    epoch: int
    memory: int | None
    before: int | None

    def at(self, crop: tuple[int, int], other: "Measured") -> "Measured":
        """Return what lies between this one and another crop of the same model: both grow with the pixels."""
        pixels = crop[0] * crop[1]
        low, high = self.candidate.pixels, other.candidate.pixels
        share = (pixels - low) / (high - low)

        def between(a: float, b: float) -> float:
            return a + share * (b - a)

        costs = replace(self.costs, step=between(self.costs.step, other.costs.step))
        memory = None
        if self.memory is not None and other.memory is not None:
            memory = round(between(self.memory, other.memory))
        # the larger crop may be computed in smaller batches, which then fit for this one as well
        return replace(other, candidate=replace(other.candidate, crop=crop), costs=costs, memory=memory)

    def most_images(self, candidate: Candidate, limit: int) -> int:
        """Return how many windows of a larger candidate at once fit into so many bytes, as far as this one shows."""
        if self.memory is None or self.before is None:
            return candidate.batch
        each = max(self.memory - self.before, 1) / self.candidate.batch * candidate.pixels / self.candidate.pixels
        return int((limit - self.before) / each)

    def plain(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Self:
        """Return what `plain` was made of."""
        candidate = Candidate(**kept["candidate"] | {"crop": tuple(kept["candidate"]["crop"])})
        return cls(**kept | {"candidate": candidate, "costs": Costs(**kept["costs"])})


def crops(facts: Facts, scale: float = 1.0) -> list[tuple[int, int]]:
    """Return the windows that come into question, the smallest first: the whole image, as far as that is no giant.

    Args:
        scale: of the images.
    """
    height, width = sides = [round(side * scale) for side in facts.size]
    shrink = min(1.0, (Candidate.MOST / (height * width)) ** 0.5)
    found = {tuple(_side(side * shrink * share, side) for side in sides) for share in _SHARES}
    return sorted((a, b) for a, b in found)


def _side(pixels: float, most: int) -> int:
    """Return a side of a window: a multiple of 32, at least 64, and no more than the image has, rounded up."""
    return min(max(round(pixels / _MULTIPLE) * _MULTIPLE, 2 * _MULTIPLE), -(-most // _MULTIPLE) * _MULTIPLE)


def candidates(facts: Facts, models: Sequence[str] = MODELS, *, weights: bool = True) -> list[tuple[Candidate, ...]]:
    """Return, for each model, what to measure: its smallest and its largest window, or the only one.

    Args:
        weights: whether the encoder begins with weights of a file.
    """
    batch = min(_BATCH if weights and facts.train >= _FEW else _SMALL, facts.train)
    scale = _HALF if not weights and _HALF**2 * facts.size[0] * facts.size[1] >= _SEEN else 1.0
    sides = crops(facts, scale)
    ends = dict.fromkeys((sides[0], sides[-1]))
    return [tuple(Candidate(model, crop, batch, scale=scale) for crop in ends) for model in models]
