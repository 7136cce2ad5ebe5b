"""Sphinx: ``make docs``. What pages execute is in ``extensions/executed.py``, the reference in ``reference.py``."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "extensions")]

from pygments.lexers import TextLexer  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

import seg  # noqa: E402

project = "seg-toolkit"
author = "the seg-toolkit developers"
copyright = "the seg-toolkit developers"
release = seg.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "executed",
    "shown",
    "reference",
]
myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
exclude_patterns = ["README.md"]
default_role = "py:obj"  # what has no page of its own is shown as code
nitpicky = False
napoleon_use_ivar = True
autodoc_typehints = "signature"
autodoc_inherit_docstrings = False  # torch would explain what a module is
autodoc_member_order = "bysource"
copybutton_prompt_text = "$ "
html_theme = "furo"
html_title = "seg-toolkit"
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}


def setup(app: Sphinx) -> None:
    """Take tables as plain text, which Pygments has no lexer for."""
    app.add_lexer("csv", TextLexer)
