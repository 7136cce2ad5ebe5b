"""The command that help(seg.commands) shows, as a newcomer would write it, in a copy of the package.

python -m pytest tests/commands/test_kit.py
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from conftest import write_pairs, write_shown_files

import seg.commands

ROOT = Path(__file__).resolve().parents[2]


def test_the_shown_command_runs(tmp_path: Path) -> None:
    for name in ("seg", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    assert write_shown_files(seg.commands, tmp_path) == ["conf/count.yaml", "seg/commands/count.py"]
    (entry,) = re.findall(r'``seg-count = "(.*)"``', seg.commands.__doc__ or "")
    module, function = entry.split(":")
    # -S: without the import hook of an editable installation, which would find the checkout's package first
    path = os.pathsep.join([str(tmp_path), sysconfig.get_path("purelib")])
    command = [sys.executable, "-S", "-c", f"from {module} import {function}; {function}()"]

    def count(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.run(
            [*command, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    write_pairs(tmp_path / "set", 3)
    done = count("images=set/images", "destination=counted")
    assert (done.returncode, done.stdout, done.stderr) == (0, "3 images; written to counted: count.csv\n", "")
    assert (tmp_path / "counted/count.csv").read_text() == "images\n3\n"
    assert "images: ???       # folder of images, searched with its subfolders" in count("--help").stdout
    assert re.fullmatch(r"seg-count \d.*\n", count("--version").stdout)
    for words, message in (
        ([], "missing on the command line: destination=... images=..."),
        (["images=[a,b]", "destination=x"], "images: expected one folder"),
        (["images=set/images", "destination=set/images/in"], "destination: expected a folder outside"),
        (["imagse=set"], "unknown key 'imagse'; did you mean 'images'?"),
        (["images=nowhere", "destination=x"], "got 'nowhere'"),
    ):
        done = count(*words)
        assert done.returncode == 2
        assert message in done.stderr
