"""The reference of commands, groups and options, made of ``conf/``; and the check of every option that a page names.

A page's inline code of the form ``key=value`` must name an option that some command has; else the build fails. What is
of other tools is written {code}`key=value`.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from docutils.utils import get_source_line
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging

from seg.report.options import Option, OptionFile, groups_of, parse

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
COMMANDS = sorted(path.stem for path in CONF.glob("*.yaml"))
PURPOSES = {
    "augment": "What training images go through: a recipe of transforms.",
    "average": "A running average of the weights, which is what is validated and kept.",
    "box_loss": "The loss of `task=boxes`.",
    "data": "Where images and masks come from.",
    "experiment": "Whole recipes; what the command line says wins over them.",
    "inference": "How an image is predicted.",
    "logger": "Who is told the numbers of each epoch, besides `metrics.jsonl`.",
    "loss": "What is minimised.",
    "metric": "What is computed of validation images.",
    "model": "Architecture and encoder.",
    "optimizer": "What makes a step of a gradient.",
    "regularizer": "What keeps the model from fitting the training images alone.",
    "scheduler": "How the learning rate changes over the run.",
    "sweep": "Which values are compared, each with the same seeds.",
    "task": "Tasks beside the segmentation.",
    "until": "When a sweep ends by itself.",
    "weighting": "How the losses of tasks, or the terms of a composite loss, become one.",
}
log = logging.getLogger(__name__)


def table(options: list[Option], prefix: str = "") -> str:
    """Return a table of options; those that hold others have a row only if something is said of them."""
    said = [option for option in options if option.default or option.meaning]
    return listed("option", [(f"`{prefix}{each.key}`", each.default, each.meaning) for each in said]) if said else ""


def listed(what: str, rows: Iterable[tuple[str, str, str]]) -> str:
    """Return a table of names, defaults and meanings."""
    head = f":::{{list-table}}\n:header-rows: 1\n:widths: 26 16 58\n\n* - {what}\n  - default\n  - meaning\n"
    lines = (
        f"* - {name}\n  - {f'`{default}`' if default else ''}\n  - {plain(meaning)}" for name, default, meaning in rows
    )
    return head + "\n".join(lines) + "\n:::\n"


def plain(comment: str) -> str:
    """Return a comment as Markdown: what Markdown would read as markup stays as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|~^$])", r"\\\1", comment)


def intro(said: str) -> str:
    """Return the head of a file: sentences as a paragraph, indented command lines as code."""
    parts: list[str] = []
    pages = re.findall(r"^Page: docs/(.*)\.md$", said, re.MULTILINE)
    for code, lines in _runs([line for line in said.splitlines() if not line.startswith("Page: ")]):
        parts.append(
            "```text\n" + "\n".join(line.strip() for line in lines) + "\n```" if code else plain(" ".join(lines))
        )
    parts += [f"Step by step: {{doc}}`/{page}`." for page in pages]
    return "\n\n".join(parts) + "\n"


def _runs(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    run: list[str] = []
    code = False
    for line in lines:
        if run and line.startswith("  ") != code:
            yield code, run
            run = []
        code = line.startswith("  ")
        run.append(line)
    if run:
        yield code, run


def read(name: str) -> OptionFile:
    """Take a file of ``conf/`` apart."""
    return parse((CONF / f"{name}.yaml").read_text(encoding="utf-8"))


def known() -> set[str]:
    """Return every key that a command takes: those of the commands, and those of each group under its name."""
    keys = {option.key for name in COMMANDS for option in read(name).options}
    for path in CONF.glob("*/*.yaml"):
        group, file = path.parent.name, parse(path.read_text(encoding="utf-8"))
        whole = {option.key for option in file.options}
        keys |= {group} | {f"{group}.{key}" for key in whole}
        keys |= whole if file.top else set()
    return keys


def command_page(name: str) -> str:
    """Return the page of a command."""
    file = read(name)
    chosen = []
    for group, option in groups_of((CONF / f"{name}.yaml").read_text(encoding="utf-8")).items():
        line = re.search(rf"^  - {group}:.*?# *(.*)$", file.defaults, re.MULTILINE)
        meaning = line[1] if line else PURPOSES.get(group, "")
        chosen.append(Option(f"[{group}](../groups/{group}.md)", option, (meaning,)))
    parts = [f"# seg-{name}\n", intro(file.head), "## Options\n", table(file.options)]
    if chosen:
        parts += [
            "## Groups\n",
            "`GROUP=NAME` chooses a file; its options are `GROUP.OPTION`.\n",
            listed("group", [(each.key, each.default, each.meaning) for each in chosen]),
        ]
    return "\n".join(parts)


def group_page(group: str) -> str:
    """Return the page of a group: what can be chosen, with the options of each."""
    parts = [f"# {group}\n", PURPOSES[group] + "\n"]
    for path in sorted((CONF / group).glob("*.yaml")):
        file = parse(path.read_text(encoding="utf-8"))
        target = re.search(r"^_target_: ([\w.]+)", file.body, re.MULTILINE)
        made = f"Made by `{target[1]}`.\n" if target else ""
        built = f"Built on {', '.join(f'`{base}`' for base in file.built_on)}.\n" if file.built_on else ""
        parts += [f"## {group}={path.stem}\n", intro(file.head) if file.head.strip() else "", made, built]
        parts.append(table(file.options, "" if file.top else f"{group}."))
    return "\n".join(parts)


def check_complete(pages: dict[str, str]) -> None:
    """Make sure that the page of a command has a row for each of its options, and that of a group for each choice's.

    The options are those of a parser of YAML, which reads no comments and knows nothing of how pages are made.

    Raises:
        ExtensionError: an option has no row.
    """
    for path in sorted(CONF.glob("**/*.yaml")):
        group = path.parent.name if path.parent != CONF else ""
        if group == "hydra":
            continue
        text = path.read_text(encoding="utf-8")
        page = pages[f"groups/{group}.md" if group else f"commands/{path.stem}.md"]
        page = page.partition(f"\n## {group}={path.stem}\n")[2].partition("\n## ")[0] if group else page
        prefix = f"{group}." if group and not parse(text).top else ""
        for key in leaves(yaml.safe_load(text) or {}):
            inline = f"\n* - `{prefix}{key.rpartition('.')[0]}`\n  - `{{"
            if f"\n* - `{prefix}{key}`\n" not in page and inline not in page:
                raise ExtensionError(
                    f"{path.relative_to(ROOT)}: expected a row of the reference for {key}, got none; write the option "
                    "on a line of its own, with a comment"
                )


def leaves(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the options of a YAML file, with dots; of what is written in one line, ``{when: end}``, too."""
    for key, value in node.items():
        if str(key).startswith("_") or (not prefix and key in ("defaults", "hydra")):
            continue
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def room_page(room: str) -> str:
    """Return the page of a room: its docstring, and everything that it lists as public."""
    directive = f".. automodule:: seg.{room}\n   :members:\n   :imported-members:\n"
    return f"# seg.{room}\n\n```{{eval-rst}}\n{directive}```\n"


def _short(path: Path) -> str:
    return f"{path.parent.name}-{path.name.removesuffix('.schema.json')}"


def schema_page(path: Path, schema: dict[str, Any]) -> str:
    """Return the page of a file of JSON: each field with type, unit and meaning.

    Args:
        path: of the schema, in the repository.
    """
    rows = [(f"`{name}`" + ("" if needed else " (may be missing)"), _type(field), field)
            for name, needed, field in fields(schema)]  # fmt: skip
    lines = [f"* - {name}\n  - {kind}\n  - {plain(field.get('x-unit', ''))}\n  - {plain(field['description'])}"
             for name, kind, field in rows]  # fmt: skip
    head = ":::{list-table}\n:header-rows: 1\n:widths: 28 18 14 40\n\n* - field\n  - type\n  - unit\n  - meaning\n"
    title = re.sub(r"(\w+\.jsonl?)", r"`\1`", schema["title"])
    file = f"The schema: {{download}}`{path} <../../../{path}>`.\n"
    return "\n".join([f"# {title}\n", plain(schema["description"]) + "\n", file, head + "\n".join(lines) + "\n:::\n"])


def fields(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, bool, dict[str, Any]]]:
    """Yield the fields of a schema: name with dots (``[]``: of each element, ``*``: of any name), required, schema.

    Raises:
        ExtensionError: a field without a description.
    """
    for key, field in schema.get("properties", {}).items():
        if not field.get("description"):
            raise ExtensionError(f"schema '{schema.get('title')}': expected a description of {prefix}{key}, got none")
        yield f"{prefix}{key}", key in schema.get("required", ()), field
        yield from fields(field, f"{prefix}{key}.")
    for key, step in (("items", "[]"), ("additionalProperties", "*")):
        if isinstance(inner := schema.get(key), dict) and "properties" in inner:
            yield from fields(inner, f"{prefix.removesuffix('.')}{step}." if step == "[]" else f"{prefix}{step}.")


def _type(field: dict[str, Any]) -> str:
    """Say what a field holds, in words."""
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    inner = field.get("items") or field.get("additionalProperties")
    of = ""
    if isinstance(inner, dict) and "type" in inner:
        of = " of " + (_type(inner) if inner["type"] != "object" else "object")
    ends = [str(field[key]) for key in ("minimum", "maximum") if key in field]
    limits = f" {'..'.join(ends)}" if len(ends) == 2 else f" from {ends[0]}" if ends else ""
    return " or ".join(kind + of * (kind in ("array", "object")) for kind in kinds) + limits


def write(app: Sphinx) -> None:
    """Write the pages of the reference, those alone that changed."""
    folder = Path(app.srcdir) / "reference"
    groups = sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra")
    if missing := [group for group in groups if group not in PURPOSES]:
        raise ExtensionError(f"docs/extensions/reference.py: expected a purpose of the group {missing[0]}, got none")
    pages = {f"commands/{name}.md": command_page(name) for name in COMMANDS}
    pages |= {f"groups/{group}.md": group_page(group) for group in groups}
    rooms = [path.parent.name for path in (ROOT / "seg").glob("*/__init__.py")]
    pages |= {f"python/{room}.md": room_page(room) for room in rooms if room not in ("commands", "files")}
    schemas = {path.relative_to(ROOT): json.loads(path.read_text()) for path in (ROOT / "seg").glob("*/*.schema.json")}
    pages |= {f"files/{_short(path)}.md": schema_page(path, schema) for path, schema in schemas.items()}
    measured = sorted((ROOT / "benchmarks" / "results").glob("*.md"))
    pages |= {f"results/{path.name}": path.read_text(encoding="utf-8") for path in measured}
    check_complete(pages)
    for name, text in pages.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in (
        path for part in ("commands", "files", "groups", "python", "results") for path in folder.glob(f"{part}/*.md")
    ):
        if f"{path.parent.name}/{path.name}" not in pages:
            path.unlink()


def check_options(app: Sphinx, tree: nodes.document, docname: str) -> None:
    """Name inline code that looks like an option and is none."""
    if docname.startswith("reference/"):
        return
    keys = known()
    for literal in tree.findall(nodes.literal):
        match = re.match(r"([a-z_]+(?:\.\w+)*)=\S", literal.astext())
        own = Path(str(get_source_line(literal)[0])).is_relative_to(app.srcdir)  # no text of another folder
        if match and match[1] not in keys and own and not literal.get("classes"):
            log.warning("expected an option that a command has, got %s", literal.astext(), location=literal)


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages before Sphinx looks for them."""
    app.connect("builder-inited", write, priority=100)
    app.connect("doctree-resolved", check_options)
    return {"parallel_read_safe": True}
