"""What every command has: those under ``[project.scripts]`` of pyproject.toml, newcomers included.

python -m pytest tests/commands/test_contract.py
"""

import ast
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from conftest import Script, fails, script_path

import seg
import seg.commands

ROOT = Path(__file__).resolve().parents[2]
CONF, COMMANDS = ROOT / "conf", ROOT / "seg" / "commands"
ENTRIES: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
NAMES = sorted(name.removeprefix("seg-") for name in ENTRIES)
NEXT = "help(seg.commands) shows what a command is made of"


def options_of(text: str) -> list[str]:
    """The lines of a command's file with an option of its own: ``key: value``, no section and nothing of Hydra's."""
    lines = text.partition("\n  - _self_\n")[2].splitlines()
    return [line for line in lines if re.match(r"\w+: *[^\s#]", line)]


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_has_its_files(name: str) -> None:
    assert ENTRIES[f"seg-{name}"] == f"seg.commands.{name}:main", f"name module and entry alike; {NEXT}"
    assert (CONF / f"{name}.yaml").is_file(), f"write conf/{name}.yaml, the options; {NEXT}"
    assert (COMMANDS / f"{name}.py").is_file(), f"write seg/commands/{name}.py, what it does; {NEXT}"
    module = import_module(f"seg.commands.{name}")
    assert callable(getattr(module, "main", None)), f"seg/commands/{name}.py: add main(), the entry; {NEXT}"
    usage = f"\nseg-{name} "
    assert usage in (module.__doc__ or ""), f"seg/commands/{name}.py: let the docstring show a command line; {NEXT}"
    assert script_path(f"seg-{name}").is_file(), "make setup installs it"


def test_files_have_their_entry() -> None:
    """And the reverse: no options without a command, and no main without an entry."""
    missing = '{}: add seg-{} = "seg.commands.{}:main" under [project.scripts] of pyproject.toml'
    for path in sorted(CONF.glob("*.yaml")):
        assert path.stem in NAMES, missing.format(path.name, *[path.stem] * 2)
    for path in sorted(COMMANDS.glob("*.py")):
        functions = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
        assert path.stem in NAMES or "main" not in functions, missing.format(path.name, *[path.stem] * 2)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_has_a_comment(name: str) -> None:
    text = (CONF / f"{name}.yaml").read_text()
    assert "\n  - hydra: quiet\n" in text, f"conf/{name}.yaml: add hydra: quiet to the defaults, or it leaves folders"
    options = options_of(text)
    assert options, f"conf/{name}.yaml: put the options after the defaults, of which _self_ is the last"
    bare = [line for line in options if not re.search(r" # ?\S", line)]
    assert not bare, f"conf/{name}.yaml: say in a comment what these do, which --help prints"


@pytest.mark.parametrize("name", NAMES)
def test_help_version_and_a_wrong_key(name: str, tmp_path: Path, script: Script) -> None:
    shown = script(f"seg-{name}", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert not [line for line in options_of((CONF / f"{name}.yaml").read_text()) if line not in lines]
    version = script(f"seg-{name}", "--version")
    assert version.stdout.startswith(f"seg-{name} {seg.__version__}"), "main() calls seg.commands.cli.run with the name"
    fails(script(f"seg-{name}", "no_such_option=3"), 2, f"unknown key 'no_such_option'; .*seg-{name} --help lists")
    assert not list(tmp_path.iterdir()), "a refusal leaves nothing behind"
