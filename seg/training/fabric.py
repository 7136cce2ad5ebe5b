"""Lightning's Fabric, imported without what it loads only to learn its version.

Lightning asks torchmetrics (for its detector of spikes, which nothing here uses) for its version by importing it, and
with it all of ``scipy.signal`` and matplotlib: a fifth of the start of every command.
"""

from seg.files.imports import standing_in

with standing_in("torchmetrics", None):  # as if it were not installed
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.utilities.rank_zero import rank_zero_only

__all__ = ["Fabric", "SLURMEnvironment", "rank_zero_only"]
