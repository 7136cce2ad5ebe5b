"""Plan a training: a recipe for the data, this machine and the minutes that there are.

seg-plan data.train.images=DIR data.train.masks=DIR minutes=20 destination=DIR
"""

import logging
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from seg.commands.cli import plain, run
from seg.files.clock import Stopwatch

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from seg.training.plan import Kept

log = logging.getLogger("seg")
_SHARE = 0.1  # of the minutes, in which all candidates are measured
_began: list[Stopwatch] = []


def main() -> None:
    """Entry point of ``seg-plan``."""
    _began[:] = [Stopwatch()]
    run(plan, "plan")


def plan(config: "DictConfig") -> None:
    """Write ``experiment/NAME.yaml``, the recipe, and ``experiment/NAME.json``, what was measured for it."""
    cfg = _request(config)
    from hydra.core.hydra_config import HydraConfig

    from seg.files import make_folder, write_json, write_text
    from seg.training.plan import Kept, choose

    kept = (Kept.read(cfg["measured"]) if cfg["measured"] else _measured(cfg)).within(cfg["minutes"], cfg["memory"])
    make_folder(cfg["recipe"].parent, "destination")
    write_json(numbers := cfg["recipe"].with_suffix(".json"), kept.plain())
    log.info("\n".join([*kept.facts.lines(), f"what was measured is kept: measured={numbers} plans from it again"]))
    found = choose(kept.facts, kept.measured, kept.budget)
    write_text(cfg["recipe"], found.recipe.about(kept.data).text())
    log.info(f"written to {cfg['recipe']}: {found.length.steps} steps, and the reason of each choice; train by it:")
    own = [Path(each.path) for each in HydraConfig.get().runtime.config_sources if each.provider == "command-line"]
    log.info(f"  {found.command(Path(cfg['destination']), cfg['name'], own)}")


def _request(config: "DictConfig") -> dict[str, Any]:
    """Return the options as plain data; refuse those that need neither data nor torch to be known as wrong."""
    from seg.files import checks

    cfg: dict[str, Any] = plain(config, optional=("data.train.",) if config.measured else ())  # then nothing is read
    checks.number("minutes", cfg["minutes"], above=0, what="minutes", remedy="give such as 20")
    checks.whole("workers", cfg["workers"], 0)
    if cfg["memory"] is not None:
        cfg["memory"] = round(1e9 * checks.number("memory", cfg["memory"], above=0, what="GB", remedy="give such as 8"))
    if not str(cfg["name"]).isidentifier():
        raise ValueError(f"name: expected letters, digits and underscores, got '{cfg['name']}'; give such as plan")
    if cfg["encoder_weights"] is not None and cfg["encoder_name"] is None:
        raise ValueError("encoder_name: expected it beside encoder_weights, got none; name their encoder")
    cfg["recipe"] = Path(str(cfg["destination"]), "experiment", f"{cfg['name']}.yaml")
    ours, files = cfg["measured"], [cfg["recipe"], cfg["recipe"].with_suffix(".json")]
    checks.free("name", "a new recipe", files, overwrite=cfg["overwrite"], ours=ours)
    checks.writable("destination", cfg["recipe"].parent)
    return cfg


def _measured(cfg: dict[str, Any]) -> "Kept":
    """Read the data, and measure the candidates on this machine."""
    from hydra import compose

    from seg.commands.build import build, read
    from seg.commands.request import Request, request
    from seg.report.console import muted
    from seg.training.device import make_fabric
    from seg.training.plan import Budget, Candidate, Kept, candidates, groups_of, look, options_of, words
    from seg.training.plan.measuring import free_bytes, machine, measure
    from seg.training.run import Run

    given = dict(_given(cfg))
    with TemporaryDirectory() as folder:
        own = {f"device.{key}": value for key, value in cfg["device"].items()} | {"runs": folder, "name": "candidate"}
        own |= {f"model.{key}": cfg[key] for key in ("encoder_name", "encoder_weights") if cfg[key] is not None}

        def asked(*more: str) -> Request:
            return request(plain(compose("train", overrides=["logger=none", *words({}, given | own), *more])), {})

        first = asked()
        if first.data.render is not None:
            first.data.render()
        fabric, facts = make_fabric(first.device), look(data := read(first))
        budget = Budget(
            **{key: cfg[key] for key in ("minutes", "encoder_name", "encoder_weights", "workers")},
            started=round(_began[0].seconds(), 1),
            memory=cfg["memory"] or free_bytes(fabric.device),
            precision=first.device.precision,
            accelerator=cfg["device"]["accelerator"],
            machine=machine(fabric.device),
        )

        def of(candidate: Candidate) -> Run:
            more = words(groups_of(facts, candidate, budget), options_of(facts, candidate, budget))
            with muted():
                return build(asked(*more), data, fabric)

        tried = candidates(facts, weights=cfg["encoder_weights"] is not None)
        measured = measure(of, tried, 60 * cfg["minutes"] * _SHARE, budget.memory)
    return Kept(facts, tuple(map(tuple, measured)), budget, tuple(given.items()))


def _given(cfg: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what the command line says of the data and their labels; ``data`` is the choice of that group."""
    from hydra.core.hydra_config import HydraConfig

    for word in HydraConfig.get().overrides.task:
        key, _, text = word.lstrip("+").partition("=")
        if key == "data":
            yield key, text
        elif key.split(".")[0] in ("data", "labels", "max_pixels"):
            yield key, reduce(lambda node, part: node[part], key.split("."), cfg)


if __name__ == "__main__":
    main()
