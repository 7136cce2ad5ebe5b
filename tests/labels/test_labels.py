"""python -m pytest tests/labels/test_labels.py"""

import errno
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import SHARED, Script, fails

import seg.labels
from seg.images import read_mask
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


ROAD_AND_CAR = (((128, 64, 128), 0), ((0, 0, 142), 1))


@pytest.mark.parametrize(
    "text",
    [
        "name\tr\tg\tb\nroad\t128\t64\t128\ncar\t0\t0\t142\n",
        "# made by hand\n\nName,Red,Green,Blue\nroad,128,64,128\ncar,0,0,142\n",
        "class,hex\nroad,#804080\ncar,00008E\n",
        'id,name,color\n1,road,"(128, 64, 128)"\n2,car,#00008e\n',
        "name,r,g,b,color\nroad,128,64,128,purple\ncar,0,0,142,blue\n",
        "name\tcolour\r\nroad\t128 64 128\r\ncar\trgb(0, 0, 142)\r\n",
        "# label:color_rgb:parts:actions\nroad:128,64,128::\ncar:0,0,142:wheel,door:drive\n",
        "# label : color (r, g, b) : 'body' parts : actions\nroad : 128, 64, 128 : : \ncar : #00008e : :\n",
        "road:128,64,128\ncar:0,0,142",
        "road,128,64,128\ncar,0,0,142\n",
        "128,64,128,road\n0,0,142,car\n",
        "128 64 128\t\troad\r0 0 142\t\tcar\r",
        "128 64 128 road\n# a comment\n\n0 0 142 car\n",
        "#804080 road\n#00008e car\n",
        "road\t#804080\ncar\t#00008e\n",
        "road: 128 64 128\ncar: 0 0 142\n",
        "road = 128,64,128\ncar=#00008e\n",
        "128 64 128: road\n#00008e: car\n",
        "sep=;\nname;r;g;b\nroad;128;64;128\ncar;0;0;142\n",
        "name|hex\nroad|#804080\ncar|#00008e\n",
        '{"#804080": "road", "#00008e": "car"}',
        '{"road": [128, 64, 128], "car": "0, 0, 142"}',
        ' [{"name": "road", "color": [128, 64, 128]}, {"label": "x", "name": "car", "color": "#00008e", "more": {}}]',
        '{"classes": [{"name": "road", "colour": "#804080"}, {"name": "car", "colour": [0, 0, 142]}], "tags": [{}]}',
    ],
)
def test_forms_of_colours(tmp_path: Path, text: str) -> None:
    labels = LabelMap.load(write(tmp_path, text, "labelmap.txt"))
    assert labels.names == ("road", "car")
    assert labels.colors == ROAD_AND_CAR
    assert labels.values == ()


@pytest.mark.parametrize("text", ["128,64,128\n0,0,142\n", "128 64 128\n\n0\t0\t142", "#804080\n#00008E\n",
                                  "# two\n128;64;128\n0;0;142"])  # fmt: skip
def test_rows_without_names_are_called_by_their_colour(tmp_path: Path, text: str) -> None:
    labels = LabelMap.load(write(tmp_path, text))
    assert labels.names == ("rgb_128_64_128", "rgb_0_0_142")
    assert labels.colors == ROAD_AND_CAR
    assert LabelMap.load(write(tmp_path, text), ignore=["rgb_0_0_142"]).names == ("rgb_128_64_128",)


@pytest.mark.parametrize(
    "text",
    [
        "Pixel Value, Class\n0, background\n7, road\n",
        "id,name\n0,background\n7,road\n",
        "name\tindex\nbackground\t0\nroad\t7\n",
        "name;value;id\nbackground;0;5\nroad;7;6\n",
        "trainId,name\n0,background\n7,road\n",
        "Class ID\tLabel\n0\tbackground\n7\troad\n",
        "# numbers\n0: background\n7: road\n",
        "0 background\n7\troad",
        "0,background\n7 = 'road'\n",
        '{"0": "background", "7": "road"}',
        '{"background": 0, "road": 7}',
        '{"categories": [{"id": 0, "name": "background", "isthing": 0}, {"id": 7, "name": "road"}], "info": {}}',
    ],
)
def test_forms_of_values(tmp_path: Path, text: str) -> None:
    labels = LabelMap.load(write(tmp_path, text, "_classes.csv"))
    assert labels.names == ("background", "road")
    assert labels.values == ((0, 0), (7, 1))
    assert labels.colors == ()


def test_colours_and_values_of_one_table(tmp_path: Path) -> None:
    labels = LabelMap.load(write(tmp_path, "name,r,g,b,value,id\na,1,1,1,7 8,1\nb,2,2,2,,2\na,3,3,3,9,3\n"))
    assert labels.values == ((7, 0), (8, 0), (9, 0))
    assert labels.colors == (((1, 1, 1), 0), ((3, 3, 3), 0), ((2, 2, 2), 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,128,64,128\n", "name,r,g,b, got '0,128,64,128'; say by a header what each number is; add name, r, g, b"),
        ("7 128 64 128 road\n", "expected a header with name,r,g,b, got '7 128 64 128 road'"),
        ("road,1,2,3,4\n", "expected a header with name,r,g,b, got 'road,1,2,3,4'"),
        ("1,2,3\nroad\n", "line 2: expected r,g,b or r,g,b,name as in the lines before, got 'road'; correct"),
        ("1,2,300\n", r"line 1: class 'rgb_1_2_300': expected a colour of three integers 0..255, got \(1, 2, 300\)"),
        ("1,2,3\n1,2,3\n", "expected each colour once"),
        ("# label:color_rgb:parts:actions\nroad:::\n", "line 2: expected label:r,g,b:parts:actions, .* got 'road:::'"),
        ("a:1,2,3::\nb:1,2::\n", "line 2: expected label:r,g,b:parts:actions, as CVAT writes it, got 'b:1,2::'"),
        ("name,color\na,#12345\n", "line 2: expected a colour such as #804080 or 128,64,128, got '#12345'; correct"),
        ("name,color\na,128\n", "line 2: expected a colour such as #804080 or 128,64,128, got '128'"),
        ("name,color\na,\n", "line 2: class 'a': expected colours or values, got neither"),
        ("name,value\na,seven\n", "line 2: class 'a': expected whole numbers as value, got 'seven'; correct"),
        ("name,value\na,70000\n", "line 2: class 'a': expected a value of 0..65535, got 70000"),
        ("name,r,g,value\na,1,2,3\n", "expected a header with name,r,g,b, got 'name,r,g,value'; add b"),
        ("value,r,g,b\n1,1,2,3\n", "add name, or use columns"),
        ("name;r;g\na;1;2\n", "got 'name;r;g'; add b"),
        ("class_id,label_id,name\n1,2,a\n", "got 'class_id,label_id,name'; add r, g, b, or use columns"),
        ("0,car,1\n", "expected a header with name,r,g,b, got '0,car,1'; add"),
        ("0 car 7\n", "expected a header with name,r,g,b, got '0 car 7'; add"),
        ("1 0.15 9 wall\n", "expected a header with name,r,g,b, got '1 0.15 9 wall'; add"),
        ("0: car\n255 0 0\n", "line 2: expected a number and a name as in the lines before, got '255 0 0'; correct"),
        (
            "0: car\n-1: plate\n",
            "line 2: class 'plate': expected a value of 0..65535, got -1; .* mark the class as ign",
        ),
        ("{", "expected JSON, as text that begins with { is, got .* line 1 column 2"),
        ("[1, 2]", r"expected a list of classes such as {'name': 'road', .*}, got \[1, 2\]; write it so"),
        ('{"classes": ["car"]}', "class 1: expected {name: ..., color: .*}, got 'car'; write it so"),
        ('{"labels": [{"name": "a", "color": [0.5, 0, 1]}]}', "class 1: expected a colour such as .*, got '0.5,0,1'"),
        ('{"#ff0000": "car", "#ff0000": "van"}', "expected each key once in an object, got '#ff0000' twice; rename"),
        (
            '{"0": [1, 2, 3]}',
            "expected a list of classes with name and color under 'classes', or pairs .*; write it so",
        ),
        ("[" * 9000, "nested hundreds deep"),
        ("filename, cat, dog\na.jpg, 0, 1\n", "expected a header with name,r,g,b, got 'filename, cat, dog'; add name"),
        ("name,r,g,b\n" + "x" * 200_000 + ",1,2,3\n", "line 2: expected a table, got field larger"),
        ("a" * 900_000, "line 1: expected a table, got field larger"),
        (" " * 900_000 + "1", "expected a header with name,r,g,b"),
    ],
    ids=lambda text: text[:30],
)
def test_tables_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelMap.load(write(tmp_path, text))


def test_every_example_of_the_page_loads(tmp_path: Path) -> None:
    page = Path(seg.labels.__file__).with_name("formats.md").read_text()
    examples = re.findall(r"^```(\w*)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(examples) == 16
    loaded = [LabelMap.load(write(tmp_path, text, f"m.{kind or 'txt'}")) for kind, text in examples]
    assert [labels.names for labels in loaded] == [
        ("road", "vehicle", "no"),
        *[("road", "car")] * 5,
        ("road", "vehicle"),
        ("road", "vehicle"),
        ("background", "road"),
        ("background", "road"),
        ("background", "road"),
        ("Road", "Vehicle"),
        ("rgb_128_64_128", "rgb_0_0_142"),
        ("car", "sky"),
        ("unlabeled", "traffic light"),
        ("background", "road"),
    ]
    assert loaded[1].values == ((7, 0), (26, 1), (255, IGNORE))
    assert {labels.colors for labels in loaded[2:5]} == {ROAD_AND_CAR}
    assert loaded[9].values == loaded[15].values == ((0, 0), (7, 1))


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\n", "background road"),
        ("colours.txt", "0 0 0\n128 64 128\n", "rgb_0_0_0 rgb_128_64_128"),
        ("hex.tsv", "name\thex\nbackground\t#000\nroad\t#804080\n", "background road"),
    ],
)
def test_forms_on_the_command_line(script: Script, tmp_path: Path, name: str, text: str, names: str) -> None:
    (tmp_path / "labels").mkdir()
    image = np.zeros((4, 6, 3), np.uint8)
    image[1:, 2:] = (128, 64, 128)
    cv2.imwrite(str(tmp_path / "labels" / "a.png"), image)
    done = script("seg-preprocess", source="labels", destination="masks", labels=write(tmp_path, text, name))
    assert (done.returncode, done.stderr) == (0, "")
    np.testing.assert_array_equal(read_mask(tmp_path / "masks" / "a.png", 2), image[..., 0] // 128)
    assert LabelMap.load(tmp_path / "masks" / "labels.yaml").names == tuple(names.split())


def test_values_of_roboflow_on_the_command_line(script: Script, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    values = np.arange(12, dtype=np.uint8).reshape(3, 4) % 2 * 5
    cv2.imwrite(str(tmp_path / "labels" / "a.png"), values)
    write(tmp_path, "Pixel Value, Class\n0, background\n5, cat\n", "_classes.csv")
    done = script("seg-preprocess", source="labels", destination="masks", labels="_classes.csv")
    assert (done.returncode, done.stderr) == (0, "")
    np.testing.assert_array_equal(read_mask(tmp_path / "masks" / "a.png", 2), values // 5)
    write(tmp_path, "0,1,2,3\n", "bare.csv")
    fails(script("seg-preprocess", source="labels", destination="m", labels="bare.csv"), 2, "bare.csv: .*by a header")


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
  - {name: hex, color: "#0a0b0c"}
"""
    labels = LabelMap.load(write(tmp_path, text, "labels.yaml"))
    assert labels.names == ("road", "car", "hex")
    assert labels.values == ((7, 0), (26, 1), (27, 1), (1, IGNORE), (255, IGNORE))
    assert labels.colors[-2:] == (((7, 8, 9), 1), ((10, 11, 12), 2))


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
            r"line 2: class 'road': expected integers 0..255 as r, g, b, got '1, 2, '; correct them$",
        ),
        (
            "name,r,g,b\nred,150,100,234white,255,255,255\n",
            r"got '150, 100, 234white'; correct them: a line end seems to be missing there",
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
        (
            "classes:\n  - name: a\n    color: #804080",
            "class 1: expected a colour .* or '#804080', got None; put '#804080' in quotes",
        ),
        ("classes: [{name: a, color: 804080}]", "class 1: expected a colour .*, got 804080; put"),
        ("classes: [{name: a, color: '#8040'}]", "class 1: expected a colour such as #804080 .*, got '#8040'"),
        ("classes: [{name: a, colors: [1, 2, 3]}]", "class 1: expected a colour .*, got 1; put"),
        ("classes: [{name: a, values: 5}]", "class 1: values: expected a list, got 5; write it in brackets"),
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
    for name, kind in (("folder", "a folder"), ("fifo", "no regular file")):
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "fifo").exists() or os.mkfifo(tmp_path / "fifo")
        with pytest.raises(
            ValueError, match=f"labels: expected a file or a built-in name, got '.*{name}', which is {kind};"
        ):
            LabelMap.load(tmp_path / name)
    (tmp_path / "latin.csv").write_bytes("name,r,g,b\nStraße,1,2,3\n".encode("latin-1"))
    with pytest.raises(ValueError, match="expected UTF-8 text, .* got another encoding .* at byte 15; save"):
        LabelMap.load(tmp_path / "latin.csv")


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path, "name,r,g,b\na,1,2,3\n")
    monkeypatch.setattr(Path, "open", refused)  # root may read everything
    with pytest.raises(
        ValueError, match="labels: expected a file that can be read, got '.*labels.csv' .Permission denied"
    ):
        LabelMap.load(path)


def test_many_rows_of_one_class(tmp_path: Path) -> None:
    """Rows are joined once: 40,000 of them took minutes when each was joined to those before."""
    rows = "".join(f"a,{number % 256},{number // 256},0\n" for number in range(40_000))
    labels = LabelMap.load(write(tmp_path, f"name,r,g,b\n{rows}b,0,0,1\n"))
    assert labels.names == ("a", "b")
    assert len(labels.colors) == 40_001


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data here")
def test_tables_found_in_the_field() -> None:
    tables = [*SHARED.glob("**/class_dict.csv"), *SHARED.glob("**/palette.yaml")]
    assert len(tables) >= 10
    for table in tables:
        assert LabelMap.load(table).classes >= 2, table


@pytest.mark.parametrize("row", ["ignore_values: [-1, 254]", "ignore_index: -1\nignore_values: [254]"])
def test_ignored_values_of_a_yaml_map(tmp_path: Path, row: str) -> None:
    (tmp_path / "map.yaml").write_text(f"{row}\nclasses: [{{name: road, values: [7]}}]\n")
    assert LabelMap.load(tmp_path / "map.yaml").values == ((7, 0), (-1, 255), (254, 255))


def test_ignored_values_join_no_class_called_ignore() -> None:
    labels = LabelMap([Label("road", values=(1,)), Label("ignore", values=(2,))])
    with pytest.raises(ValueError, match="expected each name once, got 'ignore'"):
        labels.ignoring_values([3])


def test_a_label_map_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated: those who run tests as root may read everything."""
    path = tmp_path / "map.csv"
    path.write_text("name,value\na,0\n")

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ValueError, match=r"labels: expected a file that can be read, .* \(Permission denied\); give"):
        LabelMap.load(path)
