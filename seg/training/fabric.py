"""Lightning's Fabric, imported without what it loads only to learn its version.

Lightning asks torchmetrics (for its detector of spikes, which nothing here uses) for its version by importing it, and
with it all of ``scipy.signal`` and matplotlib: a fifth of the start of every command.
"""

import sys

hidden = "torchmetrics" not in sys.modules
if hidden:
    sys.modules["torchmetrics"] = None  # type: ignore[assignment]  # as if it were not installed
try:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.utilities.rank_zero import rank_zero_only
finally:
    if hidden:
        del sys.modules["torchmetrics"]

__all__ = ["Fabric", "SLURMEnvironment", "rank_zero_only"]
