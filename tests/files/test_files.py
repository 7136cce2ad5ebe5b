"""python -m pytest tests/files/test_files.py"""

import json
import math
from pathlib import Path

import pytest

from seg.files import decoded, make_folder, whole, write_csv, write_json


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write_half() -> None:
        with whole(target) as temporary:
            temporary.write_text("ne")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_json_has_null_for_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": [1.5, math.nan, -math.inf], "y": "ß"})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": [1.5, None, None], "y": "ß"}


def test_csv_quotes(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ("a", "b"), [("x,y", 1)])
    assert (tmp_path / "a.csv").read_text() == 'a,b\n"x,y",1\n'


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"destination: expected a folder .* written to, got .*file/x.*; give another"):
        make_folder(tmp_path / "file" / "x", "destination")
    assert list(make_folder(tmp_path / "a" / "b", "destination").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "encoding", "guess"),
    [
        ("name,r,g,b\nFußgänger,1,2,3\nBrücke,4,5,6\nStraße,7,8,9\n", "cp1252", "such as Windows-1252 or GBK"),
        ("forêt\nchaussée\nvéhicule à moteur\n", "latin-1", "such as Windows-1252 or GBK"),
        ("name,r,g,b\n天空,1,2,3\n", "gbk", "GB2312 or GBK, judging by its bytes"),
        ("# 1: 道路\n道路,1,2,3\n行人,4,5,6\n", "gb2312", "GB2312 or GBK, judging by its bytes"),
    ],
)
def test_guessed_encodings(text: str, encoding: str, guess: str) -> None:
    """Two accented letters near each other were taken for Chinese."""
    with pytest.raises(ValueError, match=f"got another encoding .{guess}. at byte .*; save it as UTF-8"):
        decoded(text.encode(encoding))
