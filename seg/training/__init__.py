"""Training: `fit` moves a `State` on, as `FitOptions` say.

A run that was interrupted and resumed equals one that was not, to the bit on the CPU: `State` holds everything that the
next step depends on.
"""

from seg.training.loop import Track, Watcher, fit, train_epoch
from seg.training.options import FitOptions
from seg.training.state import Position, State, Stateful

__all__ = ["FitOptions", "Position", "State", "Stateful", "Track", "Watcher", "fit", "train_epoch"]
