"""What the regularizers share: a rate that can change without recompiling."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seg.files import checks


class Regularizer(nn.Module):
    """Identity in evaluation; in training it perturbs its input at random, as strongly as its rate says.

    The rate is a 0-d float32 tensor in a non-persistent buffer: it is not in the ``state_dict``, moves with the
    module, and may change from step to step without recompiling and without waiting for the device. Random numbers
    come from torch's default generator of the input's device.

    Args:
        p: the rate, in 0..1.
        ramp: share of the run, in 0..1, over which the rate rises linearly from 0 to ``p``, driven by `set_progress`;
            before its first call the rate is 0. With ``ramp=0`` the rate is ``p`` from the start.

    Attributes:
        site: where `seg.regularizers.attach` put it; empty if it did not.
        instead: the model's own regularizer that it replaces, likewise.

    Raises:
        ValueError: a number outside its range.
    """

    rate: Tensor
    parameter = "p"

    def __init__(self, p: float, *, ramp: float = 0.0) -> None:
        super().__init__()
        self.p = float(checks.share(self.parameter, p))
        self.ramp = float(checks.share("ramp", ramp, "the run"))
        self.site = self.instead = ""
        # the rate as a number beside the tensor: reading it back from a GPU would wait for the device
        self._value = 0.0 if self.ramp else self.p
        self.register_buffer("rate", torch.tensor(self._value, dtype=torch.float32), persistent=False)
        self._known: tuple[Tensor, int, dict[Any, Tensor]] | None = None

    def set_rate(self, value: float) -> None:
        """Change the rate; a ramp changes it again at the next `set_progress`.

        Raises:
            ValueError: ``value`` is outside 0..1.
        """
        self._value = float(checks.share(self.parameter, value))
        self.rate.fill_(self._value)

    def set_progress(self, step: int, total: int) -> None:
        """Tell the ramp that ``step`` of the ``total`` steps of the run are done."""
        if not self.ramp:
            return
        done = min(max(step / (self.ramp * max(total, 1)), 0.0), 1.0)
        if done * self.p != self._value:  # past the ramp nothing changes, and `of_rate` keeps what it has
            self.set_rate(done * self.p)

    def of_rate(self, function: Callable[..., Tensor], *sizes: int) -> Tensor:
        """Return ``function(rate, *sizes)``, cached until the rate changes: small kernels in every call add up."""
        if torch.compiler.is_compiling():  # compiled, they are fused, and the rate is an input of the graph
            return function(self.rate, *sizes)
        # torch counts the in-place changes of a tensor: asking for the value itself would wait for the device
        known = self._known
        if known is None or known[0] is not self.rate or known[1] != self.rate._version:
            known = self._known = self.rate, self.rate._version, {}
        results = known[2]
        if (function, sizes) not in results:
            results[function, sizes] = function(self.rate, *sizes)
        return results[function, sizes]

    def kept(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Draw factors that are 0 with probability ``rate`` and otherwise 1 / (1 - rate), so that their mean is 1.

        Args:
            shape: of the factors; at rate 1 all of them are 0.
            like: gives them its type and device.
        """
        # drawn in float32: torch.rand draws float16 from 2^11 values in 0..1, too coarse for a small rate
        chosen = torch.rand(shape, device=like.device) >= self.rate
        return (chosen * self.of_rate(survivors_scale)).to(like.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Regularizer":
        """Apply ``fn`` as in every module, but keep the rate in float32 when the model becomes float16."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # of torch
        if self.rate.dtype != torch.float32:
            self.rate = torch.full_like(self.rate, self._value, dtype=torch.float32)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": None}  # its key is this buffer, and a copy has another

    def extra_repr(self) -> str:
        extras = {"ramp": f"{self.ramp:g}" if self.ramp else "", "site": self.site, "instead": self.instead}
        return ", ".join(
            [f"{self.parameter}={self.p:g}", *(f"{key}={value}" for key, value in extras.items() if value)]
        )


def survivors_scale(rate: Tensor) -> Tensor:
    """Return 1 / (1 - rate), finite at rate 1, where it meets only zeros: infinity times 0 would be NaN."""
    return (1 - rate).clamp(min=2**-24).reciprocal()
