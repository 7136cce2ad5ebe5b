"""The wrapper around Hydra that every command has.

`run` is the one wrapper around ``@hydra.main``. It owns what plain Hydra does differently: a wrong request exits
with 2 and one clear line, failed work with 1, Ctrl-C with 130; ``--version`` is ours; where a user's own module is
named, the working directory may serve it. Set ``HYDRA_FULL_ERROR=1`` to see tracebacks.
"""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import seg
from seg.commands import end_at_once
from seg.commands.cli.help import conf_dir, print_help
from seg.commands.cli.overrides import beside_groups, quoted, without_null
from seg.commands.cli.targets import check_target, instantiate, trusted_modules
from seg.commands.cli.terminal import print_anything, print_logs
from seg.files import checks
from seg.files.errors import AlreadyTold, end_by_signal
from seg.report.options import groups_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

__all__ = ["check_target", "conf_dir", "instantiate", "plain", "run", "trusted_modules"]

_TRACEBACK = "SEG_TRACEBACK"

Task = Callable[["DictConfig"], float | None]
"""What a command does; a training returns its score, for sweepers."""


def run(task: Task, config_name: str, version: Callable[[], str] | None = None) -> None:
    """Compose the configuration from the command line, call ``task`` with it, and exit with the right code."""
    print_anything()
    if "--version" in sys.argv[1:]:
        print(f"seg-{config_name} {seg.__version__}" + (f" ({version()})" if version else ""))
        return
    try:
        if print_help(config_name, sys.argv[1:]):
            return
        groups = groups_of((conf_dir() / f"{config_name}.yaml").read_text(encoding="utf-8"))
        sys.argv[1:] = without_null(quoted(sys.argv[1:]), groups, conf_dir())
        if config_name == "compare":
            sys.argv[1:] = beside_groups(sys.argv[1:], ["metric"])
    except ValueError as error:
        from seg.commands.cli.errors import report

        sys.exit(report(error, config_name, False))
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")  # our own errors name the file; OpenCV's only add noise
    for side in ("PIXELS", "WIDTH", "HEIGHT"):  # ours (max_pixels) is the limit, and names the file
        os.environ.setdefault(f"OPENCV_IO_MAX_IMAGE_{side}", str(1 << 40 if side == "PIXELS" else (1 << 31) - 1))
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from seg.commands.cli.errors import report
    from seg.commands.cli.idle import check_idle
    from seg.commands.cli.keys import check_keys

    # kept under a name of ours, because processes that this one starts find the other one changed
    wants_traceback = os.environ.setdefault(_TRACEBACK, os.environ.get("HYDRA_FULL_ERROR", "0")) == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands its errors over instead of printing them

    def limited(config: "DictConfig") -> float | None:
        check_keys(config, conf_dir(), config_name)
        if HydraConfig.get().mode is not RunMode.MULTIRUN:  # an option may be for some runs of a sweep
            check_idle(config, conf_dir(), config_name)
        if (most := config.get("max_pixels")) is not None:
            _limit_pixels(most)
        return task(config)

    def job(config: "DictConfig") -> float | None:
        print_anything()  # a launcher's process has streams and loggers of its own
        print_logs(stderr=config.get("json") is True)
        if HydraConfig.get().mode is RunMode.MULTIRUN:
            with suppress(AlreadyTold):
                return limited(config)  # the sweep goes on with the other jobs and reports the failed one at its end
            return None
        try:
            return limited(config)
        except (Exception, KeyboardInterrupt) as error:
            sys.exit(report(error, config_name, wants_traceback))

    import hydra

    job.__module__, job.__qualname__ = task.__module__, task.__qualname__
    main = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)(job)
    if signal.getsignal(signal.SIGINT) is end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        end_by_signal()
        main()
    except (Exception, KeyboardInterrupt) as error:
        sys.exit(report(error, config_name, wants_traceback))


def _limit_pixels(most: Any) -> None:
    """Tell `seg.images.limit`, in this process and those that it starts.

    Raises:
        ValueError: no number of pixels.
    """
    os.environ["SEG_MAX_PIXELS"] = str(checks.whole("max_pixels", most, 1, remedy="give such as 268435456"))


def plain(config: Any, optional: tuple[str, ...] = ()) -> Any:
    """Return resolved plain data (dict, list, str, numbers) of a config.

    Args:
        optional: beginnings of keys that are None where a mandatory value is missing.

    Raises:
        ValueError: a mandatory value is missing; the message names every missing key.
    """
    from omegaconf import DictConfig, OmegaConf

    missing = OmegaConf.missing_keys(config) if isinstance(config, DictConfig) else set()
    for key in filter(lambda key: key.startswith(optional), missing):
        OmegaConf.update(config, key, None)
    if needed := sorted(key for key in missing if not key.startswith(optional)):
        raise ValueError("missing on the command line: " + " ".join(f"{key}=..." for key in needed))
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
