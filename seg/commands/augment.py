"""Write augmented copies of a data set, for tools that cannot augment while they train.

seg-augment images=DIR masks=DIR destination=DIR augment=standard copies=4 seed=0
"""

import logging
from typing import TYPE_CHECKING

from seg.commands.cli import check_target, instantiate, plain, run

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger("seg")


def main() -> None:
    """Entry point of ``seg-augment``."""
    run(augment, "augment")


def augment(config: "DictConfig") -> None:
    """Write the copies that are not there already, and say how many these were."""
    from hydra.core.hydra_config import HydraConfig

    from seg.data.augmented import augment_folder
    from seg.data.pairs import one
    from seg.report.console import console
    from seg.report.progress import bulk_progress

    cfg, recipe = plain(config), HydraConfig.get().runtime.choices.get("augment")
    if recipe is None:  # there is none for augment=[standard,cutout]
        raise ValueError("augment: expected one recipe, got several or none; give such as augment=standard")
    check_target(cfg["augment"], "augment")
    transform = instantiate(cfg["augment"], group="augment")
    with bulk_progress("augmenting", "copies", console, goes_on=True) as tell:
        count = augment_folder(
            one(cfg["images"], "images"),
            one(cfg["masks"], "masks"),
            cfg["destination"],
            transform,
            recipe=recipe,
            options=cfg["augment"],
            progress=lambda done, total: tell(done, total=total),
            **{key: cfg[key] for key in ("copies", "seed", "workers")},
        )
    log.info(f"{count} copies written to {cfg['destination']}")


if __name__ == "__main__":
    main()
