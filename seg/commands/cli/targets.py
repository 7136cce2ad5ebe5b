"""Objects that a configuration names by ``_target_``, and the modules of the user's own that they may lie in."""

import inspect
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from seg.files.constructors import check_kinds, placed, refusal

if TYPE_CHECKING:
    from seg.data.source import Source

_INSTALLED = {"lightning_fabric", "seg", "segmentation_models_pytorch", "timm", "torch", "torchvision"}


def instantiate(config: Mapping[str, Any], *args: Any, group: str = "", **kwargs: Any) -> Any:
    """`hydra.utils.instantiate` that raises what the called constructor raised, with the name of the target.

    Args:
        group: where the configuration stands on the command line, for what the message says to type.

    Raises:
        ValueError: an argument that the target does not take.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate as hydra_instantiate

    for _, node in _nodes(config):
        _target(node["_target_"])
    try:
        return hydra_instantiate(config, *args, _convert_="all", **kwargs)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, TypeError):
            _refuse_leftover(config, group)
        if isinstance(cause, ValueError):
            place = re.search(r"^full_key: (\S+)", str(error), re.MULTILINE)  # one p of several
            if place is not None and group:
                raise ValueError(f"{group}.{place[1]}.{cause}") from error
            raise ValueError(placed(str(cause), config, group)) from error
        if cause is None or isinstance(cause, ImportError | AttributeError | TypeError):
            raise ValueError(" ".join(str(error).split())) from error
        raise cause from error


def check_target(config: Any, group: str) -> None:
    """Refuse options that do not say what is built of them, and say which to drop where none was chosen."""
    remedy = f"correct its file in conf/{group.partition('.')[0]}"
    if isinstance(config, str):
        remedy = f"give {group}={config}, or, in a file, '- override /{group}: {config}' under its defaults"
    elif isinstance(config, Mapping):
        if isinstance(config.get("_target_"), str):
            return
        remedy = f"drop what belongs to another choice: {' '.join(f'~{group}.{key}' for key in config)}; or {remedy}"
    raise ValueError(f"{group}: expected a _target_ and its arguments, got {config!r}; {remedy}")


def _target(name: str) -> Callable[..., Any]:
    """Find what a ``_target_`` names.

    Raises:
        ValueError: it cannot be found.
    """
    from hydra.utils import get_object

    _make_importable(name)
    logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # it would say the error too
    try:
        target: Callable[..., Any] = get_object(name)
    except Exception as error:  # a module may raise anything when it is imported
        remedy = ""
        if isinstance(error.__cause__, ModuleNotFoundError) and error.__cause__.name == name.partition(".")[0]:
            remedy = f"; start the command in the folder of {error.__cause__.name}.py, or set PYTHONPATH"
        raise ValueError(f"{name}: {' '.join(str(error).split())}{remedy}") from None
    return target


def parameters(target: str) -> tuple[list[str], bool]:
    """Names of what a target takes by name, and whether it takes any others besides.

    Raises:
        ValueError: it cannot be found, or says nothing of its parameters.
    """
    try:
        found = inspect.signature(_target(target)).parameters.values()
    except (TypeError, ValueError) as error:  # not callable; without a signature
        raise ValueError(f"{target}: {' '.join(str(error).split())}") from None
    named = [p.name for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return named, any(p.kind is p.VAR_KEYWORD for p in found)


class Deferred:
    """A constructor that a configuration names with some of its arguments; it is called once the others are known.

    Args:
        config: ``_target_`` and arguments, of which nested ones are built now.
        group: where the configuration stands on the command line, for messages.

    Raises:
        ValueError: no target, or an argument that it does not take.
    """

    def __init__(self, config: Mapping[str, Any], group: str) -> None:
        check_target(config, group)
        self.config, self.group = dict(config), group
        _refuse_leftover(config, group)
        arguments = {key: value for key, value in config.items() if not str(key).startswith("_")}
        target = _target(str(config["_target_"]))
        if _is_foreign(target):
            check_kinds(target, arguments, group)
        self.make: partial[Any] = partial(target, **instantiate(arguments, group=group))

    @property
    def takes(self) -> list[str]:
        """Names of the parameters of the target."""
        return parameters(str(self.config["_target_"]))[0]

    def told(self, **known: Any) -> "Deferred":
        """Return the same with those of the known arguments that the target takes and the configuration leaves open."""
        more = {name: value for name, value in known.items() if name in self.takes and name not in self.config}
        return self.given(**more) if more else self

    def given(self, **arguments: Any) -> "Deferred":
        """Return the same with further arguments, or with others."""
        copy = object.__new__(Deferred)
        copy.config, copy.group = {**self.config, **arguments}, self.group
        copy.make = partial(self.make, **arguments)
        return copy

    def by(self, other: Callable[..., Any]) -> "Deferred":
        """Return the same arguments for another function, such as a check of them."""
        copy = self.given()
        copy.make = partial(other, **self.make.keywords)
        return copy

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the constructor.

        Raises:
            ValueError: an argument that it refuses; or whatever it raises for another reason.
        """
        try:
            return self.make(*args, **kwargs)
        except ImportError as error:
            raise ValueError(f"{self.group}: error in call to target '{self.config['_target_']}': {error!r}") from error
        except (AttributeError, TypeError, ValueError, LookupError, AssertionError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not _is_foreign(self.make.func):  # of ours, it is work that failed
                raise
            name = str(self.config["_target_"])
            raise ValueError(refusal(error, self.make, args, kwargs, group=self.group, name=name)) from error


def _is_foreign(target: Callable[..., Any]) -> bool:
    """Tell whether it is a library's; what is ours, or the user's, checks itself."""
    return str(getattr(target, "__module__", "")).partition(".")[0] in _INSTALLED - {"seg"}


def inference_of(config: Mapping[str, Any]) -> Callable[..., Any] | None:
    """Return what wraps a model so that it accepts images of any size, see `seg.inference`; None = as it was validated.

    Raises:
        ValueError: an option that cannot work.
    """
    if config.get("_target_") == "seg.inference.as_validated":
        _refuse_leftover(config, "inference")
        return None
    infer = Deferred(config, "inference")
    infer(lambda images: images)  # wrong options are found before files are read
    return infer.make


def source_of(data: Mapping[str, Any]) -> "Source":
    """Build where the data lie; a group of the user's own need not name the targets.

    Raises:
        ValueError: an option that cannot work.
    """
    part = {"_target_": "seg.data.source.Part"}
    parts = {name: {**part, **(data.get(name) or {})} for name in ("train", "val", "test")}
    source: Source = instantiate({"_target_": "seg.data.source.Source", **data, **parts}, group="data")
    return source


def trusted_modules(names: Any) -> list[str]:
    """Return what ``trust=[my_models]`` names: modules of the user's own, which may lie in the working directory.

    Raises:
        ValueError: something that is no list of module names.
    """
    if not isinstance(names, list) or not all(
        isinstance(name, str) and all(part.isidentifier() for part in name.split(".")) for name in names
    ):
        raise ValueError(f"trust: expected a list of modules of yours, such as [my_models], got {names!r}; give names")
    for name in names:
        _make_importable(name)
    return names


def _refuse_leftover(config: Any, group: str) -> None:
    """Say what to drop, where another ``_target_`` was given and arguments of the one before stayed."""
    for path, node in _nodes(config, f"{group}." if group else ""):
        target = node["_target_"]
        try:
            taken, any_other = parameters(target)
        except ValueError:
            continue
        left = [key for key in node if not key.startswith("_") and key not in taken]
        if left and not any_other:
            raise ValueError(
                f"{target}: expected arguments among {', '.join(taken)}, got {', '.join(left)}; correct the name, or "
                f"drop what belongs to another target: {' '.join(f'~{path}{key}' for key in left)}"
            )


def _nodes(config: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every part with a ``_target_``, at any depth, and the path to it."""
    if isinstance(config, Mapping):
        if isinstance(config.get("_target_"), str):
            yield path, config
        for key, value in config.items():
            yield from _nodes(value, f"{path}{key}.")
    elif isinstance(config, list):
        for value in config:
            yield from _nodes(value, path)


def _make_importable(target: str) -> None:
    """Let the working directory serve modules, which console scripts lack, if it is needed for this target.

    Last, so that it shadows nothing that is installed: a file called ``statistics.py`` there must break nothing.
    """
    if target.partition(".")[0] not in _INSTALLED and os.getcwd() not in sys.path:  # noqa: PTH109
        sys.path.append(os.getcwd())  # noqa: PTH109
