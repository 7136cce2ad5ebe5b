"""Drawings of ``docs/static``, put into a page itself, so that they take its colours, light or dark.

    ```{diagram} pipeline       static/pipeline.svg, with `:alt:`; its classes are coloured in `static/pages.css`
"""

from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


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


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("diagram", Diagram)
    return {"parallel_read_safe": True}
