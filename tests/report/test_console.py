"""python -m pytest tests/report/test_console.py"""

import re

import pytest
from rich.table import Table

from seg.report.console import line, plain_console, say

HOSTILE = ("\x1b[2J", "a\rb", "a\nerror: b", "\x9b31m", "\x07", "\u202ecba", "a\u2028b", "\x7f")


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_steers_the_terminal(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    console, table = plain_console(), Table(title=name)
    table.add_column(f"column {name}")
    table.add_row(f"cell {name}")
    console.print(table)
    console.print(f"text {name}", soft_wrap=True)
    say(f"out {name}")
    say(f"err {name}", error=True)
    out, err = capsys.readouterr()
    controls = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]")
    assert not controls.findall(out + err)
    assert out.splitlines()[-1] == f"out {line(name)}"
    assert f"\ntext {line(name)}\n" in out
    assert f" cell {line(name)} " in out
    assert err == f"err {line(name)}\n"
    assert name.encode("unicode_escape").decode() in err


def test_other_letters_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    say("Bäume 车 \\ [bold] :car: é")
    assert capsys.readouterr().out == "Bäume 车 \\ [bold] :car: é\n"
