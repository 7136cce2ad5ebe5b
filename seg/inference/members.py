"""Which checkpoints a user means: files, folders of complete runs, patterns of both; and the model of one or several.

from seg.inference.members import load
model = load("runs/unet-dice-*")  # the best.pt of each run: an ensemble
"""

import glob
import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seg import runs
from seg.inference import trained
from seg.inference.ensemble import Ensemble, Renormalized
from seg.inference.heads import heads_of
from seg.inference.padding import Model
from seg.inference.trained import Trained
from seg.inference.validated import WHOLE, is_ours, words
from seg.models.heads import Heads

log = logging.getLogger(__name__)

Checkpoint = str | os.PathLike[str]
Checkpoints = Checkpoint | Sequence[Checkpoint]
"""One path or pattern, or several."""


def load(
    checkpoints: Checkpoints,
    device: str = "auto",
    *,
    trust: Sequence[str] = (),
    infer: Callable[[Model], Model] | None = None,
) -> Trained:
    """Load a trained model, or several as one that predicts the mean of their probabilities.

    Args:
        checkpoints: see `files_of`.
        device, trust: see `seg.inference.trained.load`.
        infer: wraps the model so that it accepts images of any size, see `seg.inference`; None = as its run was
            validated.

    Raises:
        ValueError: see `files_of` and `seg.inference.trained.load`; or members that do not fit together.
    """
    members = [trained.load(path, device, trust=trust) for path in files_of(checkpoints)]
    if infer is None:
        _check_validated(members)
    model = members[0] if len(members) == 1 else together(members)
    if infer is not None:
        return replace(model, infer=infer)
    if not is_ours(model.way):
        log.warning(f"{words(model.way)}, by which it was validated, is taken from no file: whole images follow")
    elif model.way != WHOLE:
        log.info(f"{words(model.way)}, as it was validated")
    return model


def files_of(checkpoints: Checkpoints) -> list[Path]:
    """List the files that are meant, in the order given, those of a pattern by name.

    Args:
        checkpoints: files, folders of complete runs, of which ``best.pt`` is taken, folders of all folds of a set, or
            patterns of them.

    Raises:
        ValueError: a pattern that nothing matches, a run that is not complete, folds that are missing, or a checkpoint
            that is there twice.
    """
    given: Any = [checkpoints] if isinstance(checkpoints, str | os.PathLike) else checkpoints
    if not isinstance(given, Sequence) or not given or not all(isinstance(one, str | os.PathLike) for one in given):
        raise ValueError(f"checkpoint: expected a file, or several, got {checkpoints!r}; give such as [a.pt,b.pt]")
    files = [file for one in given for file in _matched(os.fspath(one))]
    _check_once(files)
    return files


def only(checkpoints: Checkpoints) -> Path:
    """Return the file that is meant, where no more than one is taken.

    Raises:
        ValueError: there are several; or see `files_of`.
    """
    if len(files := files_of(checkpoints)) > 1:
        raise ValueError(f"checkpoint: expected one, got {len(files)}; give the command once for each")
    return files[0]


def shown(files: Sequence[str | Path]) -> str:
    """Name one file, or several by the first."""
    return f"{files[0]} and {len(files) - 1} more" if len(files) > 1 else str(files[0])


def _matched(text: str) -> Iterator[Path]:
    if not glob.has_magic(text) or os.path.lexists(text):
        yield from _files_of(Path(text))
        return
    found = sorted(glob.glob(os.path.expanduser(text), recursive=True))  # noqa: PTH111, PTH207 # a pattern is no path
    if not found:
        raise ValueError(
            f"checkpoint: expected files or folders of runs that match '{text}', got none; correct the pattern"
        )
    for path in map(Path, found):
        yield from _files_of(path)
        run = path.parent
        if path.is_file() and (run / runs.CONFIG).is_file() and not (run / runs.DONE).is_file():
            log.warning(f"checkpoint: the run of '{path}', which matches '{text}', is not complete")


def _files_of(path: Path) -> list[Path]:
    """Return the checkpoint of a run's folder, or those of a folder of folds; a file is one itself."""
    if not path.is_dir():
        return [path]
    return [_file_of(path)] if _is_run(path) else list(map(_file_of, _folds_in(path)))


def _is_run(path: Path) -> bool:
    return (path / runs.CONFIG).is_file() and any((path / name).is_file() for name in (runs.BEST, runs.LAST))


def _folds_in(folder: Path) -> list[Path]:
    """Return the runs in a folder that are all folds of a set, once for each seed, in their order.

    Raises:
        ValueError: it holds other runs, or a fold is missing.
    """
    data = {path: runs.read_config(path / runs.CONFIG) for path in sorted(folder.iterdir()) if _is_run(path)}
    folds = {path: config.get("data", {}) for path, config in data.items()}
    number = {some.get("folds") for some in folds.values()}
    if len(number) != 1 or None in number:
        raise ValueError(
            f"checkpoint: expected a file, the folder of a run, or one of folds, got the folder '{folder}', which is "
            f"none; give '{folder}/*' for all runs in it, or name one"
        )
    (wanted,), by_seed = number, defaultdict[Any, list[Any]](list)
    for path, config in data.items():
        by_seed[config.get("seed")].append(folds[path].get("fold"))
    for seed, own in by_seed.items():
        if sorted(own, key=str) != sorted(range(wanted), key=str):
            got = ", ".join(map(str, sorted(own)))
            raise ValueError(
                f"checkpoint: expected each of {wanted} folds once in '{folder}', got {got} of seed {seed}; train the "
                "others, or name the runs that are meant"
            )
    return sorted(data, key=lambda path: (data[path].get("seed"), folds[path].get("fold")))


def _file_of(path: Path) -> Path:
    """Return the checkpoint of a complete run.

    Raises:
        ValueError: it is not complete.
    """
    if not (path / runs.DONE).is_file():
        raise ValueError(
            f"checkpoint: expected a complete run, got '{path}', which has no {runs.DONE}; give the seg-train command "
            "again, which goes on with it, leave it out, or name its file"
        )
    return path / (runs.BEST if (path / runs.BEST).is_file() else runs.LAST)


def _check_once(files: Sequence[Path]) -> None:
    """Refuse a file that is there twice, or that is a copy of another one: it would count twice."""
    alike: dict[Any, list[Path]] = defaultdict(list)
    for file in files if len(files) > 1 else ():
        if file.is_file():
            alike[file.stat().st_size].append(file)
    for some in alike.values():
        seen: dict[str, Path] = {}
        for file in some if len(some) > 1 else ():
            if (other := seen.setdefault(digest(file), file)) is not file:
                what = f"'{file}' twice" if other.samefile(file) else f"'{file}', the same as '{other}'"
                raise ValueError(f"checkpoint: expected each member once, got {what}; leave one out")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(files: Sequence[Path]) -> str | list[str]:
    """Return what tells a model from another one: the digest of its file, or of those of its members."""
    digests = list(map(digest, files))
    return digests if len(files) > 1 else digests[0]


def together(members: Sequence[Trained]) -> Trained:
    """Return several trained models as one; what it is asked for, each of them predicts.

    Raises:
        ValueError: a member with other classes, readings, sizes or heads than the first, or that gives masks alone.
    """
    first = members[0]
    for member in members:
        _check_alike(first, member)
    normalization = first.mean, first.std
    models = [
        one.model if (own := (one.mean, one.std)) == normalization else Renormalized(one.model, own, normalization)
        for one in members
    ]
    path = shown([one.path for one in members])
    model = Ensemble(models, _merged(first)).eval().to(first.device)
    return replace(first, model=model, regularizer={}, heads=Heads(), score=None, path=path)


def _check_alike(first: Trained, member: Trained) -> None:
    """Refuse a member whose answers have another meaning, or that takes other images."""
    if member.certain:
        raise ValueError(
            f"checkpoint: expected members that give probabilities, got '{member.path}', which was exported with "
            "argmax=true; export it without, or leave it out"
        )
    damaged = [name for name, value in member.model.state_dict().items() if not value.isfinite().all()]
    if damaged:  # of several members, nobody would see whose pixels these are
        raise ValueError(
            f"checkpoint: expected finite weights of each member, got NaN or infinity in {damaged[0]} of "
            f"'{member.path}'; leave it out, or give another checkpoint"
        )
    for what, told in (
        ("the classes", lambda one: ", ".join(one.labels.names)),
        ("images that are read", lambda one: f"with {one.reading.text()}"),
        ("images of the size", lambda one: "any" if one.size is None else "x".join(map(str, one.size))),
        ("the heads", _heads),
    ):
        if (wanted := told(first)) != (got := told(member)):
            raise ValueError(
                f"checkpoint: expected {what} {wanted} of each member, as '{first.path}' has, got {got} of "
                f"'{member.path}'; leave one of them out"
            )


def _check_validated(members: Sequence[Trained]) -> None:
    """Refuse members that predict in different ways where none is asked for."""
    first = members[0]
    for member in members:
        if member.way != first.way:
            raise ValueError(
                f"checkpoint: expected members validated in one way, got {words(first.way)} of '{first.path}' "
                f"and {words(member.way)} of '{member.path}'; give one of the two, or leave one member out"
            )


def _heads(member: Trained) -> str:
    """Describe the heads, and what boxes mean."""
    described = []
    for name, head in heads_of(member.model).named.items():
        rules = {key: getattr(head, key) for key in ("countable", "min_area") if hasattr(head, key)}
        described.append(f"{name} ({', '.join(f'{key}={value}' for key, value in rules.items())})" if rules else name)
    return ", ".join(described) or "none"


def _merged(first: Trained) -> dict[str, Any]:
    """Return the heads whose maps can be averaged; name the others."""
    named = heads_of(first.model).named
    can = {name: head for name, head in named.items() if hasattr(head, "to_mean") and hasattr(head, "from_mean")}
    if others := [name for name in named if name not in can]:
        log.warning(
            f"{' and '.join(others)}: left out, because nothing says what of several members' maps is averaged; give "
            "the head to_mean(maps) and from_mean(mean)"
        )
    return can
