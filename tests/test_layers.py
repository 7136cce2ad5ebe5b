"""Imports point one way.

python -m pytest tests/test_layers.py
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import seg

PACKAGE = Path(__file__).resolve().parents[1] / "seg"

BASE = {"labels", "files"}
LEAVES = {"images", "transforms", "metrics", "checkpoint", "street", "regularizers"}
ALLOWED = {
    "labels": {"files"},
    "files": set(),
    **dict.fromkeys(LEAVES, BASE),
    "losses": BASE | {"_losses"},
    "models": BASE | {"regularizers"},
    "synthetic": BASE | {"street"},
    "class_weights": set(),
    "convert": BASE | {"_preproc", "class_weights", "images", "pairs"},
    "pairs": BASE,
    "remembered": BASE,
    "dataset": {"images", "pairs", "remembered", "transforms"},
    "loading": {"dataset"},
    "objective": {"loading", "losses"},
    "evaluation": {"loading", "metrics"},
    "optim": set(),
    "training": {"evaluation", "loading", "objective"},
    "inference": {"images"},
    "pictures": BASE | {"images"},
    "runs": BASE,
    "trained": BASE | {"checkpoint", "images", "inference", "models"},
    "audit": BASE | {"convert", "html", "images", "pairs"},
    "html": {"files"},
}
"""What each module may import of ours; commands may import everything."""

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


def test_the_table_has_no_cycles() -> None:
    graph = {name: set(targets) for name, targets in ALLOWED.items()}
    while graph:
        free = [name for name, targets in graph.items() if not targets & graph.keys()]
        assert free, f"cycle among {sorted(graph)}"
        graph = {name: targets for name, targets in graph.items() if name not in free}


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import seg; dir(seg)", {"torch", "cv2", "numpy", "hydra"}),
        ("import seg; seg.labels.LabelMap", {"torch", "cv2", "numpy", "hydra"}),
        ("import seg.convert", {"torch", "cv2", "hydra"}),
        ("import seg.runs", {"torch", "cv2", "hydra"}),
        ("import seg.audit", {"torch", "hydra"}),
        ("from seg.commands import preprocess, train, evaluate, predict, diagnose",
         {"torch", "cv2", "numpy", "lightning"}),
    ],
)  # fmt: skip
def test_heavy_imports_wait(statement: str, absent: set[str]) -> None:
    assert not loaded_by(statement) & absent


def test_the_package_lists_what_is_public() -> None:
    """Every public room loads by attribute, and nothing else is listed."""
    private = {"commands", "files", "html", "remembered", "street"}  # served by the others, free to change
    rooms = {noun(path) for path in MODULES} - private
    assert set(dir(seg)) - {"__version__"} == rooms
    for name in rooms:
        assert getattr(seg, name).__name__ == f"seg.{name}"
    with pytest.raises(AttributeError, match="module 'seg' has no attribute 'street'"):
        _ = seg.__getattr__("street")
