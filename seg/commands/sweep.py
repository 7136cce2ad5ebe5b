"""Several runs by one command: a line for each run, the progress of all of them, and a table at the end.

Outcomes are recorded in a file that the first process makes, because a launcher's runs are processes of their own. A
run that fails does not stop the others, and the next call tries it again.
"""

import json
import math
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import OmegaConf

from seg import runs
from seg.files.errors import FAILED, WRONG_REQUEST, AlreadyTold
from seg.report.console import say

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from seg.metrics.catalogue import Metric
    from seg.report.progress import Overall

_NOTES = "SEG_SWEEP"  # the file, for the processes of launchers


_overall: "list[Overall]" = []  # one while this process makes the runs of a sweep
_stack = ExitStack()


class Sweep(Callback):
    """Told by Hydra when several runs begin; ``conf/train.yaml`` names it."""

    def on_multirun_start(self, config: "DictConfig", **_: Any) -> None:
        """Make the file of notes, in which the number of runs comes first."""
        from seg.training.processes import is_first

        if not is_first():
            return
        from seg.report.console import plain_console
        from seg.report.progress import Overall, bulk_progress

        folder = Path(str(config.runs), ".sweep")
        notes = (folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.jsonl").absolute()
        try:
            choices, basic = _choices(config), str(config.hydra.sweeper._target_).endswith("BasicSweeper")
        except HydraException:
            return  # the sweeper will say what it cannot read
        jobs = math.prod(choices.values()) if basic else None  # other sweepers may not know how many runs they make
        metric = OmegaConf.to_container(config.metric, resolve=True)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _note(notes, jobs=jobs, test=config.sweep.test, metric=metric, swept=list(choices))
        except OSError:
            return  # every run will say why it cannot write there
        os.environ[_NOTES] = str(notes)
        _overall[:] = [Overall(jobs, _stack.enter_context(bulk_progress("sweep", "epochs", plain_console())))]


def _choices(config: "DictConfig") -> dict[str, int]:
    """Return the number of values of everything that a sweep varies, or could vary."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    params = config.hydra.sweeper.params or {}
    words = [*(f"{key}={value}" for key, value in params.items()), *config.hydra.overrides.task]
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    choices = {}
    for override in parser.parse_overrides(words):
        sweeps, key = override.is_sweep_override(), override.get_key_element().lstrip("+")
        if sweeps or key in params:
            several = sweeps and override.is_discrete_sweep()
            choices[key] = sum(1 for _ in override.sweep_string_iterator()) if several else 1
    return choices


@contextmanager
def fixing(config: dict[str, Any]) -> Iterator[list[str] | None]:
    """Let one run of a sweep at a time choose its steps; yield the keys in which it may differ from one that has."""
    if HydraConfig.get().mode is not RunMode.MULTIRUN:
        yield None
        return
    from filelock import FileLock

    lock = Path(str(config["runs"]), ".sweep", ".steps")
    lock.parent.mkdir(parents=True, exist_ok=True)
    swept = _read()[0]["swept"] if config["sweep"]["equal"] == "steps" else []
    config["sweep"]["of"] = runs.sweep_of(HydraConfig.get().overrides.task, swept) if swept else None
    with FileLock(lock):
        yield ["seed", *swept]


def check_test(folder: Any) -> None:
    """Refuse a test set that is not there, or that no sweep would be judged on, before anything is trained."""
    if folder is None:
        return
    from seg.evaluation.testing import check_set

    if HydraConfig.get().mode is not RunMode.MULTIRUN:
        raise ValueError(f"sweep.test: expected several runs, got one; judge it by seg-evaluate on '{folder}'")
    check_set(Path(str(folder)))


def check_until(config: Mapping[str, Any], catalogue: "Mapping[str, Metric]") -> None:
    """Refuse rounds of one run, of runs that several processes train, or by a score that runs do not have.

    Raises:
        ValueError: what was expected.
    """
    if config.get("until") is None:
        return
    from seg.compare.scores import measure

    if HydraConfig.get().mode is not RunMode.MULTIRUN:
        raise ValueError("until: expected a sweep, got one run; give such as sweep=losses, too")
    if (devices := config["device"]["devices"]) != 1:
        raise ValueError(f"until: expected device.devices=1, got {devices!r}; leave until=settled out")
    if measure(metric := str(config["until"]["metric"]), catalogue) is None:
        raise ValueError(
            f"until.metric: expected a score of each image, such as miou or boundary_f1, got '{metric}'; give one"
        )


def advance(epoch: int, epochs: int) -> None:
    """Show how far a run is, if it is one of a sweep."""
    for overall in _overall:
        overall.at(epoch, epochs)


@contextmanager
def paused() -> Iterator[None]:
    """Pause the sweep's progress: epochs in this block (of trials) are not counted."""
    held, _overall[:] = list(_overall), []
    try:
        yield
    finally:
        _overall[:] = held


def job(config: "DictConfig", train: "Callable[..., Path | None]", watch: Any) -> float | None:
    """Train one run, by a watch unless it is one of a sweep; in that, also print and record its outcome.

    Returns:
        The best monitored score, which sweepers such as Optuna's ask for: NaN where the run failed, None on other
        processes than the first.
    """
    from seg.training.processes import is_first

    if HydraConfig.get().mode is not RunMode.MULTIRUN or not is_first() or _NOTES not in os.environ:
        return None if (folder := train(config, watch)) is None else runs.read(folder).score
    from seg.commands.cli.errors import code_of, one_line
    from seg.report.console import console
    from seg.report.tables import percent

    began = time.time()
    console.quiet = True
    try:
        folder = train(config, None)
    except AlreadyTold:
        raise
    except Exception as error:  # of any kind: the other runs go on
        if os.environ.get("SEG_TRACEBACK") == "1":
            traceback.print_exception(error)
        name = str(config.name or ", ".join(HydraConfig.get().overrides.task))
        _end(
            name, "failed", f"failed: {one_line(error, 'train')}", reason=one_line(error, "train"), code=code_of(error)
        )
        return math.nan
    if folder is None:
        return None
    record = runs.read(folder)
    how = "trained" if (folder / runs.DONE).stat().st_mtime >= began else "complete"
    found = f"{'is complete: ' * (how == 'complete')}mIoU {percent(record.miou)} %"
    _end(folder.name, how, f"{found}, {record.seconds:.0f} s", folder=str(folder.absolute()))
    return record.score


def _end(name: str, how: str, text: str, **more: Any) -> None:
    """Print and record the outcome of a run."""
    jobs, number = _read()[0].get("jobs"), HydraConfig.get().job.num + 1
    _note(Path(os.environ[_NOTES]), name=name, how=how, job=number - 1, **more)
    place = f"{number:>{len(str(jobs))}}/{jobs}" if jobs else f"{number}"
    say(f"{place} {name}{' ' if how == 'complete' else ': '}{text}")
    for overall in _overall:
        overall.end(how)


def finished() -> dict[int, Path]:
    """Return the folders of the complete runs of this sweep so far, by the number of the job."""
    return {note["job"]: Path(note["folder"]) for note in _read()[1:] if "folder" in note}


def _note(notes: Path, **what: Any) -> None:
    with notes.open("a", encoding="utf-8") as file:  # one write: processes do not mix their lines
        file.write(json.dumps(what) + "\n")


def _read() -> list[dict[str, Any]]:
    """Return the notes: the number of runs, then what each came to, the last word on it."""
    path = Path(os.environ[_NOTES])
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def close() -> int:
    """Print the table of a sweep's runs and those that failed, however it ended, and return the exit code."""
    _stack.close()
    if not _overall:
        return 0
    _overall.clear()
    (about, *notes) = _read()
    Path(os.environ.pop(_NOTES)).unlink()
    if folders := [Path(note["folder"]) for note in notes if "folder" in note]:
        _print_table(folders)
    if about["test"] is not None:
        notes += _all_tested(folders, Path(about["test"]), about["metric"])
    failed = [note for note in notes if note["how"] == "failed"]
    if not failed:
        return 0
    for note in failed[:-1]:
        say(f"failed: {note['name']}: {note['reason']}", error=True)
    last, number = failed[-1], f"{len(failed)} of {len(notes)} runs failed"
    say(f"error: {number}; {last['name']}: {last['reason']}; the same command tries again", error=True)
    return WRONG_REQUEST if all(note["code"] == WRONG_REQUEST for note in failed) else FAILED


def _print_table(folders: Sequence[Path]) -> None:
    from seg.report.console import console
    from seg.runs.table import results_table

    console.quiet = False
    console.print(results_table([runs.read(folder) for folder in folders]))
    console.quiet = True  # of evaluations on the test set a line is told


def _all_tested(folders: Sequence[Path], test: Path, metric: Any) -> list[dict[str, Any]]:
    """Judge runs on a test set; return what to note where that failed."""
    if not folders:
        return []
    from seg.commands.cli.errors import code_of, one_line
    from seg.evaluation.testing import is_tested, last_change

    changed, failed = last_change(test), []
    for folder in folders:
        if is_tested(folder, test, changed):
            continue
        try:
            _judge(folder, test, metric)
        except Exception as error:  # of any kind: the other runs are judged
            reason = one_line(error, "evaluate")
            failed.append(
                {"name": f"{folder.name} on {test}", "how": "failed", "reason": reason, "code": code_of(error)}
            )
        else:
            say(f"{folder.name} was judged on {test}: {folder / runs.TEST}")
    return failed


def _judge(folder: Path, test: Path, metric: Any) -> None:
    from seg.commands.cli.targets import inference_of
    from seg.commands.metrics import wanted_metrics
    from seg.evaluation.testing import judge

    config = runs.read(folder).config
    parts = [config["model"], *(task["head"] for task in (config.get("task") or {}).values())]
    own = [str(part["_target_"]).rpartition(".")[0] for part in parts]  # this very command has just used them
    infer = inference_of(config.get("inference") or {"_target_": "seg.inference.whole"})
    judge(folder, test, wanted_metrics(metric), infer=infer, trust=own)
