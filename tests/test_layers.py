"""Imports point one way: between the modules by a table, between all files without a cycle.

python -m pytest tests/test_layers.py
"""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import seg

PACKAGE = Path(__file__).resolve().parents[1] / "seg"

ALLOWED = {
    # what the commands call
    "training": {"data", "evaluation", "files", "images", "inference", "labels", "metrics", "models", "regularizers",
                 "report", "runs", "tasks"},
    "audit": {"convert", "data", "files", "images", "labels", "report"},
    "compare": {"data", "files", "labels", "metrics", "report", "runs"},
    "evaluation": {"data", "files", "images", "inference", "labels", "metrics", "report", "runs", "tasks"},
    # where model, loss and data meet, and what was trained
    "inference": {"data", "files", "images", "labels", "metrics", "models", "regularizers", "report", "runs", "tasks"},
    "tasks": {"data", "files", "images", "labels", "losses", "metrics", "models", "report", "runs"},
    "models": {"files", "regularizers"},
    "runs": {"files", "images", "labels", "metrics", "report"},
    "metrics": {"_losses", "files", "labels"},
    "losses": {"_losses", "files", "labels"},
    # files become arrays, and arrays batches
    "synthetic": {"convert", "files", "images", "labels"},
    "convert": {"_preproc", "data", "files", "images", "labels"},
    "data": {"files", "images", "labels", "report", "transforms"},
    # parts that know nothing of each other
    "transforms": {"files", "labels"},
    "regularizers": {"files", "report"},
    "report": {"files", "images", "labels"},
    "images": {"files", "labels"},
    # what everything stands on
    "labels": {"files"},
    "files": set(),
    # compiled
    "_losses": set(),
    "_preproc": set(),
}  # fmt: skip
"""What each room may import of ours, each only what stands below it; commands may import everything."""

ROOMS = {
    *("labels", "images", "convert", "data", "audit", "synthetic", "transforms", "losses", "regularizers", "models"),
    *("tasks", "training", "metrics", "evaluation", "inference", "runs", "compare", "report", "commands", "files"),
}

WITHOUT_TORCH = {"audit", "compare", "convert", "files", "images", "labels", "report", "runs", "synthetic"}

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def noun(path: Path) -> str:
    """The top-level module or folder a file belongs to: ``losses`` for seg/losses/dice.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """Dotted names of all imports, those within functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def ours(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported(path) if name.startswith("seg.")} - {noun(path), "__version__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    if noun(path) == "commands":
        return
    assert noun(path) in ALLOWED, f"{noun(path)} is new: say in ALLOWED what it may import"
    assert ours(path) <= ALLOWED[noun(path)]
    outside = {name.split(".")[0] for name in imported(path)}
    assert not outside & {"hydra", "omegaconf"}, "only seg/commands knows Hydra"
    assert "torch" not in outside or noun(path) not in WITHOUT_TORCH


def test_there_are_twenty_rooms() -> None:
    """And nothing else in the package, and no private files in them."""
    entries = {path.name for path in PACKAGE.iterdir() if path.suffix != ".so" and path.name != "__pycache__"}
    assert entries == ROOMS | {"__init__.py", "_losses.pyi", "_preproc.pyi"}
    assert not [path.name for path in MODULES if path.name.startswith("_") and path.name != "__init__.py"]
    told = (seg.__doc__ or "").split("::")[1]
    assert {line.split()[0] for line in told.splitlines() if line.startswith("    ")} == ROOMS


def test_commands_are_thin() -> None:
    """What has an entry point fits two screens; with the wiring of a training and of sweeps the folder is larger."""
    folder = PACKAGE / "commands"
    sizes = {path: len(path.read_text().splitlines()) for path in folder.rglob("*.py")}
    commands = {path.stem for path in (PACKAGE.parent / "conf").glob("*.yaml")}
    assert commands <= {path.stem for path in folder.glob("*.py")}
    assert not {path.name: size for path, size in sizes.items() if path.stem in commands and size > 130}
    assert sum(sizes.values()) <= 3027  # 1,600 are wanted


def test_the_table_points_down() -> None:
    order = list(ALLOWED)
    for name, targets in ALLOWED.items():
        assert targets <= set(order[order.index(name) + 1 :]), f"{name}: move it above what it imports"


def file_graph(package: Path) -> dict[str, set[str]]:
    """Dotted name of each file -> those of the files that it makes Python run.

    An import runs the ``__init__`` of every folder on the way, except of those that the importing file lies in: they
    have been run already, or are being run.
    """
    files = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph = {}
    for name, path in files.items():
        wanted = set()
        for target in imported(path):
            parts = target.split(".")
            known = [way for n in range(1, len(parts) + 1) if (way := ".".join(parts[:n])) in files]
            wanted |= {way for way in known[:-1] if not f"{name}.".startswith(f"{way}.")} | set(known[-1:])
        graph[name] = wanted
    return graph


def test_files_have_no_cycle() -> None:
    TopologicalSorter(file_graph(PACKAGE)).prepare()  # raises with the cycle


@pytest.mark.parametrize(
    ("files", "cycle"),
    [
        ({"a": "from made.b import f", "b": "f = 1"}, ""),
        ({"a": "import made.b", "b": "import made.c", "c": "import made.a"}, "made.a"),
        ({"a": "from made import b", "b": "def f():\n    from made.a import g"}, "made.a"),  # within a function
        ({"a": "from made.b import C", "b": "if TYPE_CHECKING:\n    import made.a"}, "made.a"),
        ({"__init__": "from made.a import f", "a": "from made import f"}, "made.a"),  # its own re-export
        ({"__init__": "from made.a import f", "a": "import made.b", "b": "f = 1"}, ""),
        (
            {
                "inner/__init__": "import made.inner.c",
                "inner/c": "import made.a",
                "inner/d": "",
                "a": "import made.inner.d",
            },
            "made.a",
        ),
        (
            {
                "inner/__init__": "import made.inner.c",
                "inner/c": "import made.inner.d",
                "inner/d": "",
                "a": "import made.inner.d",
            },
            "",
        ),
    ],
)
def test_a_cycle_of_files_is_found(tmp_path: Path, files: dict[str, str], cycle: str) -> None:
    for name, text in {"__init__": "", **files}.items():
        path = tmp_path / "made" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    sorter = TopologicalSorter(file_graph(tmp_path / "made"))
    if not cycle:
        sorter.prepare()
        return
    with pytest.raises(CycleError) as error:
        sorter.prepare()
    assert cycle in error.value.args[1]


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import seg; dir(seg)", {"torch", "cv2", "numpy", "hydra"}),
        ("import seg; seg.labels.LabelMap", {"torch", "cv2", "numpy", "hydra"}),
        ("import seg.convert", {"torch", "cv2", "hydra"}),
        ("import seg.runs", {"torch", "cv2", "hydra"}),
        ("import seg.metrics.scores", {"torch", "cv2", "hydra"}),
        ("import seg.audit.report", {"torch", "hydra"}),
        ("import seg.report.html", {"torch", "cv2", "numpy", "hydra"}),
        ("from seg.commands import preprocess, train, evaluate, predict, diagnose, export, compare, augment",
         {"torch", "cv2", "numpy", "lightning_fabric"}),
        ("import seg.compare.study", {"torch", "cv2", "hydra", "scipy", "matplotlib"}),
        ("import seg.inference.folder",
         {"torch._dynamo", "sympy", "lightning_fabric", "seg.transforms", "seg.training", "scipy", "matplotlib"}),
        ("import seg.evaluation.files, seg.evaluation.subjects, seg.evaluation.tables",
         {"torch._dynamo", "sympy", "lightning_fabric", "seg.transforms", "seg.training", "matplotlib"}),
        ("import seg.commands.build", {"torchmetrics", "lightning", "matplotlib", "scipy.optimize", "scipy.signal"}),
    ],
)  # fmt: skip
def test_heavy_imports_wait(statement: str, absent: set[str]) -> None:
    assert not loaded_by(statement) & absent


def test_the_package_lists_what_is_public() -> None:
    """Every room but the commands, and what serves the others, loads by attribute, and nothing else is listed."""
    rooms = ROOMS - {"commands", "files"}
    assert set(dir(seg)) - {"__version__", "load"} == rooms
    for name in rooms:
        assert getattr(seg, name).__name__ == f"seg.{name}"
    with pytest.raises(AttributeError, match="module 'seg' has no attribute 'scores'"):
        _ = seg.__getattr__("scores")
