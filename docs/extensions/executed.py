"""Pages that were executed: every shell line and every Python line of a page is run before the page is read.

    ```{shell}                  one or several command lines; `:fails: 2` expects that exit code
    ```{python}                 Python; the value of a last expression is printed, names stay for the page
    ```{file} my_losses.py      a file that the page writes, and shows
    ```{show} runs/a/done.json  the beginning of a file
    ```{picture} report/a.png   a picture, with `:alt:`
    {took}`-`                   how long the commands of the page took
    {made}`text <report/report.html>`   a link to a copy of what the page made

A page runs in a folder of its own, `build/docs-work/pages/PAGE`; one whose front matter says `after: OTHER` begins in a
copy of what that page left. Nothing is executed again until the page, those it follows or the toolkit changes. Output
of more than `:lines:` lines (default 16) is cut in the middle, which the page says.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import yaml
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective, SphinxRole
from warm import SESSION, Warm

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "docs-work"
WORK, RESULTS, BIN = BUILD / "pages", BUILD / "results", BUILD / "bin"
CODE = re.compile(r"^(`{3,})\{(shell|python|file)\} *([^\n]*)\n((?:^:[^\n]*\n)*)(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
_LINES = 16


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


def trimmed(text: str, most: int) -> str:
    """Cut the middle out of a long text, and say so."""
    lines = text.split("\n")
    if len(lines) <= most:
        return text
    head = (2 * most) // 3
    left_out = len(lines) - most
    return "\n".join([*lines[:head], f"[... {left_out} more lines ...]", *lines[len(lines) - (most - head) :]])


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
    done: dict[str, Future[None]] = {}

    def start(page: Page) -> "Future[None] | None":
        if page not in needed:
            return None
        if page.name not in done:
            before = start(pages[page.after]) if page.after else None
            done[page.name] = pool.submit(work, page, before)
        return done[page.name]

    def work(page: Page, before: "Future[None] | None") -> None:
        if before:
            before.result()
        page.run(keys[page.name])

    with Warm(BIN), ThreadPoolExecutor(2) as pool:
        for page in needed:
            start(page)
    wrong = {str(error): None for future in done.values() if (error := future.exception())}
    if wrong:
        raise ExtensionError("\n\n".join(wrong))


class _OfPage(SphinxDirective):
    def outcome(self) -> dict[str, Any]:
        path = RESULTS / f"{self.env.docname}.json"
        self.env.note_dependency(str(path))
        return dict(json.loads(path.read_text()))

    def place(self, name: str) -> Path:
        path = WORK / self.env.docname / name
        if not path.is_file():
            raise self.error(f"expected a file that the page made, got none at {name}")
        return path


class Executed(_OfPage):
    """The command lines or the Python lines of a block, and what they printed."""

    has_content = True
    option_spec = {"fails": directives.nonnegative_int, "lines": directives.nonnegative_int}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        count = self.env.temp_data.get("executed", 0)
        self.env.temp_data["executed"] = count + 1
        output = self.outcome()["outputs"][count]
        code = "\n".join(self.content)
        if self.name == "shell":
            code = re.sub(r"^(?=\S)(?!#)", "$ ", code, flags=re.MULTILINE)
            code = re.sub(r"(\\\n)\$ ", r"\1", code)
        shown: list[nodes.Node] = [
            nodes.literal_block(
                code, code, language="console" if self.name == "shell" else "python", classes=["executed-command"]
            )
        ]
        if output and self.options.get("lines") != 0:
            text = trimmed(output, self.options.get("lines", _LINES))
            classes = ["executed-output", *(["executed-fails"] if self.options.get("fails") else [])]
            shown.append(nodes.literal_block(text, text, language="text", classes=classes))
        return shown


class Written(_OfPage):
    """A file that the page writes."""

    has_content = True
    required_arguments = 1
    languages: ClassVar = {".py": "python", ".yaml": "yaml"}

    def run(self) -> list[nodes.Node]:
        self.env.temp_data["executed"] = self.env.temp_data.get("executed", 0) + 1
        code, name = "\n".join(self.content), self.arguments[0]
        block = nodes.literal_block(code, code, language=self.languages.get(Path(name).suffix, "text"))
        return [
            nodes.container("", nodes.caption(name, name), block, literal_block=True, classes=["literal-block-wrapper"])
        ]


class Show(_OfPage):
    """The beginning of a file that the page made."""

    required_arguments = 1
    option_spec = {"lines": directives.positive_int, "language": directives.unchanged}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        text = self.place(self.arguments[0]).read_text(encoding="utf-8").rstrip("\n")
        text = trimmed(text, self.options.get("lines", _LINES))
        language = self.options.get("language", "text")
        return [nodes.literal_block(text, text, language=language, classes=["executed-output"])]


class Picture(_OfPage):
    """A picture that the page made."""

    required_arguments = 1
    option_spec = {"alt": directives.unchanged_required, "width": directives.unchanged}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        if not self.options.get("alt"):
            raise self.error("expected :alt: that says what the picture shows, got none")
        path = self.place(self.arguments[0])
        self.env.note_dependency(str(path))
        uri = os.path.relpath(path, (Path(self.env.srcdir) / self.env.docname).parent)
        more = {"width": self.options["width"]} if "width" in self.options else {}
        return [nodes.image(uri=uri, alt=self.options["alt"], classes=["executed-picture"], **more)]


class Took(SphinxRole):
    """How long the commands of the page took."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        path = RESULTS / f"{self.env.docname}.json"
        seconds = json.loads(path.read_text())["seconds"]
        return [nodes.Text(f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes")], []


class Made(SphinxRole):
    """A link to a copy of a file that the page made, with the folder that it lies in."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        match = re.fullmatch(r"(.*?)\s*<(.*)>", self.text, re.DOTALL)
        title, name = match.groups() if match else (self.text, self.text)
        path = WORK / self.env.docname / name
        if not path.is_file():
            message = self.inliner.reporter.error(f"expected a file that the page made, got none at {name}")
            return [], [message]
        target = Path(self.env.app.outdir) / "made" / self.env.docname / Path(name).parent
        shutil.copytree(path.parent, target, dirs_exist_ok=True)
        up = "../" * self.env.docname.count("/")
        return [nodes.reference("", title, refuri=f"{up}made/{self.env.docname}/{name}")], []


def _forget(app: Sphinx, docname: str, source: list[str]) -> None:
    app.env.temp_data["executed"] = 0


def setup(app: Sphinx) -> dict[str, Any]:
    """Register directives and roles."""
    app.connect("builder-inited", execute)
    app.connect("source-read", _forget)
    for name in ("shell", "python"):
        app.add_directive(name, Executed)
    app.add_directive("file", Written)
    app.add_directive("show", Show)
    app.add_directive("picture", Picture)
    app.add_role("took", Took())
    app.add_role("made", Made())
    return {"parallel_read_safe": False}
