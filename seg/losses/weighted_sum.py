"""A weighted sum of losses."""

import inspect
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from seg.files import checks
from seg.losses.native import native_sums
from seg.losses.pixel_sums import Need, PixelSums, needs_of
from seg.losses.schedules import Ramp


class WeightedSum(nn.Module):
    """``sum_k weight_k * term_k``, with weights that may change during a run.

    A sum may be a term of another one. `set_progress` moves the ramps and is passed on to the terms that have it;
    before its first call ramps are at their start. The position is in the ``state_dict``.

    Args:
        terms: losses by name.
        weights: one for each name: a number >= 0, a `Ramp`, or its arguments (``{start: 0.0, end: 1.0, until: 0.5}``).

    Attributes:
        last: the unweighted values of the terms in the last call, detached, on their device: for reports.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore,
        ``distance`` as `Boundary` takes it, for the terms that do -> scalar.

    Raises:
        ValueError: terms and weights with different names, an invalid weight, or arguments that a term refuses.
    """

    progress: Tensor

    def __init__(
        self, *, terms: Mapping[str, nn.Module], weights: Mapping[str, float | Ramp | Mapping[str, float]]
    ) -> None:
        super().__init__()
        if not terms or set(terms) != set(weights):
            raise ValueError(f"weights: expected one for each term {sorted(terms)}, got {sorted(weights)}")
        self.terms = nn.ModuleDict(dict(terms.items()))
        self.weights = {name: _weight(name, weights[name]) for name in terms}
        self.last: dict[str, Tensor] = {}
        self._with_distance = {
            name for name, term in terms.items() if "distance" in inspect.signature(term.forward).parameters
        }
        # a tensor and not a number: torch.compile would guard on a number and compile anew at every step
        self.register_buffer("progress", torch.zeros(()))

    def forward(self, logits: Tensor, target: Tensor, distance: Tensor | None = None) -> Tensor:
        return torch.stack([*self.weighted(logits, target, distance).values()]).sum()

    def sums_needed(self) -> tuple[Need, ...]:
        """List the sums of all terms that work by sums, so that they share one softmax."""
        return tuple(need for term in self.terms.values() for need in needs_of(term))

    def weighted(self, logits: Tensor, target: Tensor, distance: Tensor | None = None) -> dict[str, Tensor]:
        """Return the terms times their weights, by name: what is summed."""
        return self._weighted(logits, target, distance, native_sums(self, logits, target, distance))

    def _weighted(
        self, logits: Tensor, target: Tensor, distance: Tensor | None, sums: PixelSums | None
    ) -> dict[str, Tensor]:
        values = {name: self._value(name, logits, target, distance, sums) for name in self.terms}
        self.last = {name: value.detach() for name, value in values.items()}
        return {name: self._now(name) * value for name, value in values.items()}

    def _value(
        self, name: str, logits: Tensor, target: Tensor, distance: Tensor | None, sums: PixelSums | None
    ) -> Tensor:
        term = self.terms[name]
        if sums is not None and needs_of(term):
            if isinstance(term, WeightedSum):
                return torch.stack([*term._weighted(logits, target, distance, sums).values()]).sum()
            from_sums: Callable[[PixelSums], Tensor] = term.from_sums  # type: ignore[assignment]
            return from_sums(sums).to(sums.dtype)
        value: Tensor = term(logits, target, distance) if name in self._with_distance else term(logits, target)
        return value

    def set_progress(self, step: int, total: int) -> None:
        """Tell the ramps that ``step`` of the ``total`` steps of the run are done."""
        self.progress.fill_(min(max(step / max(total, 1), 0.0), 1.0))
        for term in self.terms.values():
            move = getattr(term, "set_progress", None)
            if callable(move):
                move(step, total)

    def current_weights(self) -> dict[str, float]:
        """Return the weights that the next call will use: for reports."""
        return {name: float(self._now(name)) for name in self.weights}

    def _now(self, name: str) -> float | Tensor:
        weight = self.weights[name]
        return weight(self.progress) if isinstance(weight, Ramp) else weight


def _weight(name: str, weight: float | Ramp | Mapping[str, float]) -> float | Ramp:
    if isinstance(weight, Ramp):
        return weight
    if isinstance(weight, Mapping):
        if not {"start", "end"} <= set(weight) <= {"start", "end", "until"}:
            raise ValueError(
                f"weights.{name}: expected a number, or start, end and optionally until, got {dict(weight)}"
            )
        return Ramp(**weight)
    checks.number(f"weights.{name}", weight, least=0)
    return float(weight)
