"""python -m pytest tests/test_labels.py"""

from pathlib import Path

import pytest
from conftest import SHARED

from seg.labels import IGNORE, Label, LabelMap


def write(tmp_path: Path, text: str, name: str = "labels.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "name,r,g,b\nroad,1,2,3\ncar,4,5,6\n",
        "name,r,g,b\nroad,1,2,3\ncar,4,5,6",  # no final newline
        "name;r;g;b\r\nroad;1;2;3\r\ncar;4;5;6\r\n",
        "\ufeffName , R, G ,B, class_11\n road, 1, 2, 3, 1\n\n\ncar ,4,5,6,0\n",
        "r,g,b,name\n1,2,3,road\n4,5,6,car\n",
    ],
)
def test_csv_forms(tmp_path: Path, text: str) -> None:
    labels = LabelMap.load(write(tmp_path, text))
    assert labels.names == ("road", "car")
    assert labels.colors == (((1, 2, 3), 0), ((4, 5, 6), 1))


def test_class_index_is_row_order_without_ignored(tmp_path: Path) -> None:
    path = write(tmp_path, "name,r,g,b,ignore\nvoid,0,0,0,1\nroad,1,1,1,\nedge,2,2,2,no\n")
    labels = LabelMap.load(path)
    assert labels.colors == (((0, 0, 0), IGNORE), ((1, 1, 1), 0), ((2, 2, 2), 1))
    assert LabelMap.load(path, ignore=["ROAD"]).colors == (((0, 0, 0), IGNORE), ((1, 1, 1), IGNORE), ((2, 2, 2), 0))
    assert (labels.name_of(1), labels.name_of(IGNORE)) == ("edge", "ignore")


def test_rows_of_one_name_share_a_class(tmp_path: Path) -> None:
    labels = LabelMap.load(write(tmp_path, "name,r,g,b\na,1,1,1\nb,2,2,2\na,3,3,3\n"))
    assert labels.classes == 2
    assert dict(labels.colors)[(3, 3, 3)] == 0
    assert labels.palette == ((1, 1, 1), (2, 2, 2))


def test_yaml_forms(tmp_path: Path) -> None:
    text = """
ignore_index: 255
classes:
  - {name: road, color: [1, 2, 3], id: 7}
  - {name: car, colors: [[4, 5, 6], [7, 8, 9]], values: [26, 27]}
  - {name: ego, values: [1], ignore: true}
"""
    labels = LabelMap.load(write(tmp_path, text, "labels.yaml"))
    assert labels.names == ("road", "car")
    assert labels.values == ((7, 0), (26, 1), (27, 1), (1, IGNORE), (255, IGNORE))
    assert labels.colors[-1] == ((7, 8, 9), 1)


def test_saved_is_loaded(tmp_path: Path) -> None:
    labels = LabelMap([Label("Straße: 1", ((1, 2, 3),)), Label("x", values=(300,)), Label("v", ((0, 0, 0),), (), True)])
    labels.save(tmp_path / "labels.yaml")
    again = LabelMap.load(tmp_path / "labels.yaml")
    assert again == labels
    assert again.digest == labels.digest
    assert labels.ignoring(["x"]).digest != labels.digest
    assert [path.name for path in tmp_path.iterdir()] == ["labels.yaml"]


def test_palette_of_values_only_is_distinct() -> None:
    labels = LabelMap(Label(str(i), values=(i,)) for i in range(255))
    assert len(set(labels.palette)) == 255


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,r,g\nroad,1,2\n", r"expected a header with name,r,g,b, got 'name,r,g'; add b"),
        ("", r"expected 1 to 255 classes that are not ignored, got 0; correct"),
        (
            "name,r,g,b\nroad,1,2,\n",
            r"line 2: class 'road': expected integers 0..255 as r, g, b, got '1, 2, '; correct",
        ),
        (
            "name,r,g,b\nroad,1,2,256\n",
            r"line 2: class 'road': expected a colour of three integers 0..255, got \(1, 2, 256\)",
        ),
        ("name,r,g,b\n,1,2,3\n", "line 2: expected a class name, got ''; name the class"),
        (
            "name,r,g,b\na,1,2,3\nb,1,2,3\n",
            r"expected each colour once, got \(1, 2, 3\) in class 'a' and in class 'b'; remove",
        ),
        ("name,r,g,b,ignore\na,1,2,3,perhaps\n", "ignore: expected one of .*, got 'perhaps'; write 1 or 0"),
        (
            "name,r,g,b,ignore\na,1,2,3,1\na,1,2,4,0\n",
            "line 3: class 'a': expected one value of ignore in its rows, got two",
        ),
        ("name,r,g,b\n" + "".join(f"c{i},{i},0,0\n" for i in range(255)) + "d,0,1,0\n", "1 to 255 classes.*got 256"),
    ],
)
def test_malformed_csv(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelMap.load(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "expected a list of classes under 'classes:', got none"),
        ("classes: 3", "expected a list of classes, got 3"),
        ("classes: [{name: a, colour: [1, 2, 3]}]", r"class 1: expected the keys name, .*, got \['colour'\]; rename"),
        ("classes: [{name: a}]", "class 1: class 'a': expected colours or values, got neither; give"),
        ("classes: [{name: a, color: [1, 2]}]", "three integers"),
        ("classes: [{name: a, values: [70000]}]", "expected a value of 0..65535, got 70000"),
        ("classes: [{color: [1, 2, 3]}]", "class 1: expected a name, got {.*}; name the class"),
        (
            "classes: [{name: a, id: 1}, {name: b, id: 1}]",
            "expected each value once, got 1 in class 'a' and in class 'b'",
        ),
        ("classes: [{name: a, id: 1}, {name: a, id: 2}]", "expected each name once, got 'a' in"),
        ("clases: []\nclasses: []", r"expected keys classes, ignore_index and ignore_values, got \['clases'\]; rename"),
        ("classes: [", "while parsing"),
    ],
)
def test_malformed_yaml(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelMap.load(write(tmp_path, text, "labels.yml"))


def test_missing_file_and_names(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="labels: expected a file or a built-in name, got 'nowhere.csv'; give a CSV"):
        LabelMap.load("nowhere.csv")
    with pytest.raises(ValueError, match=r"ignore: expected a class of the map \(a\), got 'Viod'; choose"):
        LabelMap.load(write(tmp_path, "name,r,g,b\na,1,2,3\n"), ignore=["Viod"])
    (tmp_path / "latin.csv").write_bytes("name,r,g,b\nStraße,1,2,3\n".encode("latin-1"))
    with pytest.raises(ValueError, match="expected UTF-8 text, .* got another encoding .* at byte 15; save"):
        LabelMap.load(tmp_path / "latin.csv")


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data here")
def test_tables_found_in_the_field() -> None:
    tables = [*SHARED.glob("**/class_dict.csv"), *SHARED.glob("**/palette.yaml")]
    assert len(tables) >= 10
    for table in tables:
        assert LabelMap.load(table).classes >= 2, table
