"""Pages that were executed: every shell line and every Python line of a page is run before the page is read.

    ```{shell}                  one or several command lines; `:fails: 2` expects that exit code
    ```{python}                 Python; the value of a last expression is printed, names stay for the page
    ```{file} my_losses.py      a file that the page writes

A page runs in a folder of its own, `build/docs-work/pages/PAGE`; one whose front matter says `after: OTHER` begins in a
copy of what that page left. Nothing is executed again until the page, those it follows or the toolkit changes. What the
page shows of it is in `shown.py`.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from warm import SESSION, Warm

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "docs-work"
WORK, RESULTS, BIN = BUILD / "pages", BUILD / "results", BUILD / "bin"
CODE = re.compile(r"^(`{3,})\{(shell|python|file)\} *([^\n]*)\n((?:^:[^\n]*\n)*)(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fence of a page that is executed."""

    kind: str
    name: str
    code: str
    fails: int


class Page:
    """What a page executes.

    Args:
        path: its file.
    """

    def __init__(self, path: Path, source: Path) -> None:
        self.name = path.relative_to(source).with_suffix("").as_posix()
        text = path.read_text(encoding="utf-8")
        front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
        self.after = (yaml.safe_load(front[1]) or {}).get("after") if front else None
        self.blocks = [
            Block(kind, name.strip(), code, int((re.search(r"^:fails: (\d+)$", options, re.MULTILINE) or "00")[1]))
            for _, kind, name, options, code in CODE.findall(text)
        ]

    @property
    def result(self) -> Path:
        """The file of what was executed."""
        return RESULTS / f"{self.name}.json"

    def key(self, pages: dict[str, "Page"], toolkit: str) -> str:
        """Return a digest of everything that the outcome depends on."""
        before = pages[self.after].key(pages, toolkit) if self.after else toolkit
        return hashlib.sha256(json.dumps([before, self.blocks]).encode()).hexdigest()

    def done(self, key: str) -> bool:
        """Tell whether the page was executed with the same outcome as it would have now."""
        return self.result.is_file() and json.loads(self.result.read_text())["key"] == key

    def run(self, key: str) -> None:
        """Execute the page.

        Raises:
            ExtensionError: a command ended in another way than the page says.
        """
        folder = WORK / self.name
        shutil.rmtree(folder, ignore_errors=True)
        if self.after:
            shutil.copytree(WORK / self.after, folder, symlinks=True, copy_function=copied)
        folder.mkdir(parents=True, exist_ok=True)
        started, outputs = time.perf_counter(), []
        python: Python | None = None
        for block in self.blocks:
            if block.kind == "python":
                python = python or Python(folder)
                code, output = python.run(block.code)
            elif block.kind == "file":
                (folder / block.name).parent.mkdir(parents=True, exist_ok=True)
                (folder / block.name).write_text(block.code, encoding="utf-8")
                code, output = 0, ""
            else:
                code, output = shell(block.code, folder)
            if code != block.fails:
                raise ExtensionError(
                    f"{self.name}: expected exit code {block.fails}, got {code} of\n{block.code}\n{output[-3000:]}"
                )
            outputs.append(output)
        if python:
            python.close()
        self.result.parent.mkdir(parents=True, exist_ok=True)
        told = {"key": key, "seconds": time.perf_counter() - started, "outputs": outputs}
        self.result.write_text(json.dumps(told, indent=1))


def copied(source: str, target: str) -> None:
    """Copy a file; a checkpoint, which is large and is only ever replaced as a whole, gets a second name instead."""
    if source.endswith(".pt"):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def environment() -> dict[str, str]:
    """Return the variables of a command: this environment's scripts, a home of its own, no colours."""
    home = BUILD / "home"
    home.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(BIN), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "COLUMNS": "96", "NO_COLOR": "1", "TERM": "dumb",
            "OMP_NUM_THREADS": "1", "SEG_CACHE": str(home / "checked")}  # fmt: skip


def shell(code: str, folder: Path) -> tuple[int, str]:
    """Run command lines; the exit code, and what they printed on both streams."""
    argv = ["bash", "-euo", "pipefail", "-c", code]
    done = subprocess.run(
        argv, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    return done.returncode, cleaned(done.stdout.decode(errors="replace"), folder)


class Python:
    """The Python of one page, whose names stay from block to block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [str(BIN / SESSION)], cwd=folder, text=True, env=environment(), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip

    def run(self, code: str) -> tuple[int, str]:
        """Run a block; 1 if it raised, and what it printed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(code) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            return self.process.wait() or 1, "Python ended"
        code_, output = json.loads(line)
        return code_, cleaned(output, self.folder)

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def cleaned(output: str, folder: Path) -> str:
    """Return text as a terminal shows it: progress that was overwritten is gone, and so is the folder of the build."""
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in output.split("\n"))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", "\n".join(line.rstrip() for line in lines))
    return text.replace(f"{folder}/", "").replace(str(folder), ".").replace(f"{ROOT}/", "").strip("\n")


def toolkit_digest() -> str:
    """Return a digest of the toolkit and of what executes pages."""
    digest = hashlib.sha256()
    here = Path(__file__)
    files = [path for folder in ("seg", "conf") for path in (ROOT / folder).rglob("*") if path.is_file()]
    for path in (*sorted(files), here, here.with_name("session.py"), here.with_name("warm.py")):
        if "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def execute(app: Sphinx) -> None:
    """Run all pages that need it, two at a time, each after the one that it follows."""
    source = Path(app.srcdir)
    found = (Page(path, source) for path in sorted(source.rglob("*.md")))
    pages = {page.name: page for page in found}
    for page in pages.values():
        if page.after and page.after not in pages:
            raise ExtensionError(f"{page.name}: expected a page as after, got '{page.after}'")
    toolkit = toolkit_digest()
    keys = {page.name: page.key(pages, toolkit) for page in pages.values()}
    needed = [page for page in pages.values() if page.blocks and not page.done(keys[page.name])]
    if not needed:
        return
    begun = {page.name for page in needed}
    following = {page.name: [other for other in needed if other.after == page.name] for page in needed}
    first = [page for page in needed if page.after not in begun]
    first.sort(key=lambda page: not following[page.name])  # those that others wait for
    wrong: dict[str, None] = {}
    with Warm(BIN), ThreadPoolExecutor(2) as pool:
        running = {pool.submit(page.run, keys[page.name]): page for page in first}
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                page = running.pop(future)
                if error := future.exception():
                    wrong[str(error)] = None
                else:
                    running |= {pool.submit(other.run, keys[other.name]): other for other in following[page.name]}
    if wrong:
        raise ExtensionError("\n\n".join(wrong))


def setup(app: Sphinx) -> dict[str, Any]:
    """Execute the pages before they are read."""
    app.connect("builder-inited", execute)
    return {"parallel_read_safe": False}
