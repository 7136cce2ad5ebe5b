"""python -m pytest tests/files/test_memo.py"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seg.files.memo import cache_folder, remembered


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def files(tmp_path: Path) -> list[tuple[Path, ...]]:
    (tmp_path / "data").mkdir()
    for i in range(3):
        write(tmp_path / "data" / str(i), f"{i}")
    return [(tmp_path / "data" / str(i),) for i in range(3)]


def write(path: Path, text: str, age: float = 60) -> None:
    path.write_text(text)
    now = path.stat().st_mtime
    os.utime(path, (now - age, now - age))


def lengths(files: list[tuple[Path, ...]], purpose: str = "p", **options: Any) -> tuple[list[int], list[int]]:
    """Sizes of the files, and which of them were looked at."""
    looked: list[int] = []

    def look(i: int) -> int:
        looked.append(i)
        return len(files[i][0].read_text())

    look_: Callable[[int], int] = options.pop("look", look)
    found = remembered(purpose, files, look_, keep=lambda n: n or None, restore=lambda _, n: n, **options)
    return found, sorted(looked)


def test_changed_files_and_other_purposes_are_looked_at(files: list[tuple[Path, ...]], cache: Path) -> None:
    assert lengths(files) == ([1, 1, 1], [0, 1, 2])
    assert lengths(files) == ([1, 1, 1], [])
    assert lengths(files[::-1]) == ([1, 1, 1], [])
    write(files[1][0], "longer")
    assert lengths(files) == ([1, 6, 1], [1])
    assert lengths(files, "another") == ([1, 6, 1], [0, 1, 2])
    stat = files[0][0].stat()
    files[0][0].write_text("x")  # the same size, and the time is put back: the file system knows
    os.utime(files[0][0], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert lengths(files) == ([1, 6, 1], [0])
    assert len(list(cache.iterdir())) == 2


def test_young_and_failed_and_missing_files_are_not_remembered(files: list[tuple[Path, ...]]) -> None:
    write(files[0][0], "young", age=0)
    write(files[1][0], "")  # keep() says None
    for _ in range(2):
        assert lengths(files) == ([5, 0, 1], [0, 1, 2] if not _ else [0, 1])
    files[2][0].unlink()
    with pytest.raises(FileNotFoundError):
        lengths(files)


def test_an_interrupted_look_is_not_lost(files: list[tuple[Path, ...]]) -> None:
    def look(i: int) -> int:
        if i == 2:
            raise KeyboardInterrupt
        return 1

    with pytest.raises(KeyboardInterrupt):
        lengths(files, look=look, threads=1)
    assert lengths(files) == ([1, 1, 1], [2])


def test_torn_lines_and_growth(files: list[tuple[Path, ...]], cache: Path) -> None:
    lengths(files)
    (path,) = cache.iterdir()
    _, *lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\xff" + lines[1] + b"[1]\n" + lines[2][:-9])
    assert len(lengths(files)[1]) == 2
    for round_ in range(20):
        write(files[0][0], "x" * (round_ + 2))
        assert lengths(files)[0] == [round_ + 2, 1, 1]
    assert path.read_text(errors="replace").count("\n") < 10
    with path.open("a") as file:
        file.write('["torn", "li')
    write(files[0][0], "changed")
    assert lengths(files) == ([7, 1, 1], [0])
    assert lengths(files) == ([7, 1, 1], [])


@pytest.mark.parametrize("blocked", ["", "file"])
def test_without_a_place_it_works_all_the_same(files: list[tuple[Path, ...]], cache: Path, blocked: str) -> None:
    if blocked:
        cache.write_text("a file, and not a folder")
    else:
        cache.symlink_to(cache.parent / "nowhere" / "else")
    assert lengths(files) == ([1, 1, 1], [0, 1, 2])
    assert lengths(files)[0] == [1, 1, 1]


def test_nothing_to_look_at() -> None:
    assert lengths([]) == ([], [])


def test_two_processes_at_once(files: list[tuple[Path, ...]], cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from seg.files.memo import remembered\n"
        "files = [(Path(sys.argv[1]) / str(i % 3),) for i in range(3)]\n"
        "for n in range(50):\n"
        "    remembered('p', files, lambda i: n, keep=lambda n: n + 1, restore=lambda i, n: n, threads=2)\n"
    )
    words = [sys.executable, "-c", code, str(files[0][0].parent)]
    running = [subprocess.Popen(words) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    assert lengths(files)[1] == []


def test_the_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEG_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "seg-toolkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "seg-toolkit"
