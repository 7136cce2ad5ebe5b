"""Every way to have the package finds its configuration.

python -m pytest tests/test_packaging.py
"""

import ast
import os
import subprocess
import sys
import sysconfig
import zipfile
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    result = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_a_bare_checkout(tmp_path: Path) -> None:
    code = "from seg.commands.cli import conf_dir; print(conf_dir())"
    found = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert Path(found.strip()) == ROOT / "conf"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sdist -> wheel, as an installation from a package index without a matching wheel does it."""
    folder = tmp_path_factory.mktemp("dist")
    code = "import sys; from scikit_build_core import build; print(build.build_sdist(sys.argv[1]))"
    name = run(sys.executable, "-c", code, folder, cwd=ROOT).strip().splitlines()[-1]
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", folder / name,
        "--wheel-dir", folder, cwd=folder)  # fmt: skip
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_everything(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path)
    expected = {f"seg/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / "conf").rglob("*.yaml")}
    kept = {".py", ".yaml", ".md", ".jinja", ".json"}
    expected |= {p.relative_to(ROOT).as_posix() for p in (ROOT / "seg").rglob("*") if p.suffix in kept}
    assert expected <= names
    for module in ("_preproc", "_losses"):
        assert any(name.startswith(f"seg/{module}.") and name.endswith(".so") for name in names)
    assert not any(name.startswith(("tests/", "cpp_preproc/", "shared/")) for name in names)
    # -S: without the import hook of the editable installation, which would find the checkout's package first
    path = os.pathsep.join([str(tmp_path), sysconfig.get_path("purelib")])
    found = run(sys.executable, "-S", "-m", "seg.commands.train", "--help", cwd=tmp_path, PYTHONPATH=path)
    assert "cross_entropy" in found
    code = "import seg._preproc; from seg.commands.cli import conf_dir; print(conf_dir(), seg._preproc.__file__)"
    conf, helper = run(sys.executable, "-S", "-c", code, cwd=tmp_path, PYTHONPATH=path).split()
    assert Path(conf) == tmp_path / "seg" / "conf"
    assert Path(helper).parent == tmp_path / "seg"


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_benchmarks_name_what_there_is(path: Path) -> None:
    """They run seldom: what they import of ours is looked up here."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "seg":
            module = import_module(str(node.module))
            for name in (each.name for each in node.names):
                with suppress(ModuleNotFoundError):
                    import_module(f"{node.module}.{name}")  # which makes it a name of its room
                assert hasattr(module, name), f"{node.module} has no {name}"
