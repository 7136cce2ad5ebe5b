"""What a page shows of what it executed: commands, their output, files, pictures; and drawings.

    ```{shell}, ```{python}     the lines, and what they printed; `:lines: 8` shows fewer lines of it, `:lines: 0` none
    ```{file} my_losses.py      a file that the page writes
    ```{show} runs/a/done.json  the beginning of a file
    ```{picture} report/a.png   a picture, with `:alt:`
    ```{diagram} pipeline       static/pipeline.svg, with `:alt:`; its classes are coloured in `static/pages.css`
    {took}`-`                   how long the commands of the page took
    {made}`text <report/report.html>`   a link to a copy of what the page made

Output of more lines than are shown (16 unless the page says otherwise) is cut in the middle, which the page says.
Nothing here changes what is executed, so that a change of looks executes nothing again.
"""

import json
import os
import re
import shutil
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from executed import RESULTS, WORK
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

_LINES = 16
_PHONE = 48
_TABLE = re.compile("[─│┃━]|more lines")


def trimmed(text: str, most: int) -> str:
    """Cut the middle out of a long text, and say so."""
    lines = text.split("\n")
    if len(lines) <= most:
        return text
    head = (2 * most) // 3
    left_out = len(lines) - most
    return "\n".join([*lines[:head], f"[... {left_out} more lines ...]", *lines[len(lines) - (most - head) :]])


def printed(text: str, classes: list[str]) -> list[nodes.Node]:
    """Return blocks that look like one: messages, which may be broken anywhere, and tables, which may not."""
    blocks: list[nodes.Node] = []
    for table, lines in groupby(text.split("\n"), lambda line: bool(_TABLE.search(line))):
        part = "\n".join(lines)
        more = [*(["executed-joined"] if blocks else []), *([] if table or not _long(part) else ["executed-words"])]
        blocks.append(nodes.literal_block(part, part, language="text", classes=[*classes, *more]))
    return blocks


def _long(text: str) -> bool:
    """Tell whether there is a sentence that is longer than a phone's line: rows of numbers have few spaces."""
    return any(len(line) > _PHONE and line.count(" ") > 5 for line in text.split("\n"))


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
            shown += printed(text, classes)
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
        if (language := self.options.get("language", "text")) == "text":
            return printed(text, ["executed-output"])
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


class Diagram(SphinxDirective):
    """A drawing, which scrolls on its own where the page is narrower than it can be read."""

    required_arguments = 1
    option_spec = {"alt": directives.unchanged_required}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        if not self.options.get("alt"):
            raise self.error("expected :alt: that says what the drawing shows, got none")
        path = Path(self.env.srcdir) / "static" / f"{self.arguments[0]}.svg"
        if not path.is_file():
            raise self.error(f"expected a drawing, got none at {path.name}")
        self.env.note_dependency(str(path))
        label = escape(self.options["alt"])
        svg = path.read_text(encoding="utf-8").replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
        return [nodes.raw("", f'<div class="diagram">{svg}</div>', format="html")]


class Took(SphinxRole):
    """How long the commands of the page took."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        path = RESULTS / f"{self.env.docname}.json"
        seconds = json.loads(path.read_text())["seconds"]
        if seconds >= 100:
            return [nodes.Text(f"{seconds / 60:.0f} minutes")], []
        return [nodes.Text(f"{seconds:.0f} seconds" if seconds >= 1.5 else "a second")], []


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
    app.connect("source-read", _forget)
    for name in ("shell", "python"):
        app.add_directive(name, Executed)
    for name, directive in {"file": Written, "show": Show, "picture": Picture, "diagram": Diagram}.items():
        app.add_directive(name, directive)
    app.add_role("took", Took())
    app.add_role("made", Made())
    return {"parallel_read_safe": False}
