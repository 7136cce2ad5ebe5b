"""python -m pytest tests/data/test_pairs.py"""

import codecs
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Script, fails, train_options, write_pairs

from seg.data.pairs import Pair, list_images, pair, scenes_of, shared_name, split
from seg.data.pairs.templates import fitting_templates
from seg.data.source import Part, Source
from seg.labels import Label, LabelMap


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize(
    ("file", "template", "name"),
    [
        ("a/label.png", "{}/label.png", "a"),
        ("town/a/label.png", "{}/label.png", "town/a"),
        ("label.png", "{}/label.png", None),
        ("a/other.png", "{}/label.png", None),
        ("town/labels/a.v2.png", "labels/{}", "town/a.v2"),
        ("labels/a.png", "labels/{}", "a"),
        ("a.png", "labels/{}", None),
        ("town/a.v2.png", "{}", "town/a.v2"),
        ("to.wn/a", "{}", "to.wn/a"),
        ("town/a.v2.png", "{}.png", "town/a.v2"),  # regression: no file fitted a template of braces and suffix alone
        ("town/a.jpg", "{}.png", None),
    ],
)
def test_shared_name(file: str, template: str, name: str | None) -> None:
    assert shared_name(file, template) == name


def test_templates_and_nested_folders(tmp_path: Path) -> None:
    touch(tmp_path / "left/aachen/a_01_leftImg8bit.png", tmp_path / "left/bonn/b_02_leftImg8bit.png")
    touch(tmp_path / "fine/aachen/a_01_gtFine_color.png", tmp_path / "fine/bonn/b_02_gtFine_color.png")
    touch(tmp_path / "fine/bonn/b_02_gtFine_instanceIds.png", tmp_path / "fine/bonn/b_02.json")
    pairs = pair(
        tmp_path / "left",
        tmp_path / "fine",
        image_template="{}_leftImg8bit.png",
        template="{}_gtFine_color.png",
    )
    assert [p.name for p in pairs] == ["aachen/a_01", "bonn/b_02"]
    assert pairs[1].mask.name == "b_02_gtFine_color.png"


def test_images_and_masks_in_one_folder(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg", tmp_path / "a_L.png", tmp_path / "b.PNG", tmp_path / "b_L.png", tmp_path / ".hidden.png")
    pairs = pair(tmp_path, tmp_path, template="{}_L.png")
    assert [(p.name, p.image.name, p.mask.name) for p in pairs] == [
        ("a", "a.jpg", "a_L.png"),
        ("b", "b.PNG", "b_L.png"),
    ]


def test_list_files(tmp_path: Path) -> None:
    touch(*(tmp_path / f"{kind}/{n}.png" for kind in ("i", "m") for n in "abc"), tmp_path / "i/alone.png")
    (tmp_path / "list.txt").write_text("# chosen\nc\na.png\n\n")
    assert [p.name for p in pair(tmp_path / "i", tmp_path / "m", only=tmp_path / "list.txt")] == ["a", "c"]
    (tmp_path / "list.txt").write_text("a\nzebra\n")
    with pytest.raises(
        ValueError, match=r"list.txt, line 2: expected the name of an image, such as 'a', got 'zebra'; correct"
    ):
        pair(tmp_path / "i", tmp_path / "m", only=tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("#\n")
    with pytest.raises(ValueError, match="list.txt: expected names of images, one a line, got none; add"):
        pair(tmp_path / "i", tmp_path / "m", only=tmp_path / "list.txt")
    with pytest.raises(ValueError, match="list: expected an existing file, got '.*nothing.txt'; check"):
        pair(tmp_path / "i", tmp_path / "m", only=tmp_path / "nothing.txt")


def test_templates_that_fit_are_proposed(tmp_path: Path) -> None:
    touch(*(tmp_path / f"i/img_{n}.jpg" for n in range(12)), *(tmp_path / f"m/img_{n}_L.png" for n in range(12)))
    text = (
        r"got none for 12 of 12, .*; give data.template=\{\}_L \(pairs 12 of 12\); or add it, set the template "
        r"\(data.template=\), or name the wanted files in a list \(data.val.list=FILE\)$"
    )
    with pytest.raises(ValueError, match=text):
        pair(tmp_path / "i", tmp_path / "m", prefix="data.", part="val.")
    assert len(pair(tmp_path / "i", tmp_path / "m", template="{}_L")) == 12

    touch(tmp_path / "i/img_90.jpg")  # the rest is nearly all
    with pytest.raises(ValueError, match=r"give template=\{\}_L \(pairs 12 of 13\); or add it, .* \(list=FILE\)$"):
        pair(tmp_path / "i", tmp_path / "m")
    touch(tmp_path / "i/img_91.jpg", tmp_path / "i/img_92.jpg")
    with pytest.raises(ValueError, match=r"; add it, set the template \(template=\), or name .* \(list=FILE\)$"):
        pair(tmp_path / "i", tmp_path / "m")
    with pytest.raises(ValueError, match="; add it, or call both alike$"):  # seg-augment has no templates
        pair(tmp_path / "i", tmp_path / "m", prefix=None)


@pytest.mark.parametrize(
    ("image", "masks", "found"),
    [
        ("{}", ["{}_mask"], [("{}", "{}_mask")]),
        ("img_{}", ["mask_{}"], [("img_{}", "mask_{}")]),
        ("town/{}", ["town/m{}"], [("{}", "m{}")]),
        ("{}_left", ["{}_color", "{}_ids"], [("{}_left", "{}_color"), ("{}_left", "{}_ids")]),  # which, nobody knows
        ("v1.{}", ["v1.{}_L"], [("{}", "{}_L")]),
        ("{}", ["{}"], []),  # what fails then is something else
        ("{}", ["other/{}_L"], []),
        ("{}", ["mask"], []),
    ],
)
def test_fitting_templates(tmp_path: Path, image: str, masks: list[str], found: list[tuple[str, str]]) -> None:
    touch(*(tmp_path / "i" / f"{image.format(n)}.png" for n in range(12)))
    touch(*(tmp_path / "m" / f"{mask.format(n)}.png" for n in range(12) for mask in masks))
    assert sorted(pattern for pattern, _, _ in fitting_templates(tmp_path / "i", tmp_path / "m")) == found


def test_two_names_alike_are_no_template(tmp_path: Path) -> None:
    touch(tmp_path / "i/a_1.png", tmp_path / "m/a_7.png")
    assert fitting_templates(tmp_path / "i", tmp_path / "m") == []


def test_unpaired_files_are_named(tmp_path: Path) -> None:
    touch(tmp_path / "i/a.png", tmp_path / "i/b.png", tmp_path / "m/a.png")
    with pytest.raises(
        ValueError,
        match=r"expected mask files like '\{\}' in '.*m' for each image, got none for 1 of 2, the first '.*b.png'; add",
    ):
        pair(tmp_path / "i", tmp_path / "m")
    touch(tmp_path / "m/b.png", tmp_path / "m/c.png")
    with pytest.raises(ValueError, match=r"for each mask, got none for 1 of 3, the first '.*c.png'"):
        pair(tmp_path / "i", tmp_path / "m")


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected an existing folder, got '.*nowhere'"):
        list_images(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"expected files like '\{\}_L.png' .*, got none in"):
        list_images(tmp_path, "{}_L.png")
    with pytest.raises(ValueError, match=r"template: expected one \{\}"):
        list_images(tmp_path, "L.png")
    touch(tmp_path / "a.png", tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="expected one file named 'a', got '.*' and '.*'; rename or remove one"):
        list_images(tmp_path)


def test_split_is_seeded_and_complete(tmp_path: Path) -> None:
    pairs = [Pair(str(i), tmp_path, tmp_path) for i in range(10)]
    train, val = split(pairs, 0.25, 7)
    assert (len(train), len(val)) == (8, 2)
    assert sorted(train + val, key=lambda p: p.name) == pairs
    assert split(pairs, 0.25, 7) == (train, val)
    assert split(pairs, 0.25, 8) != (train, val)
    assert len(split(pairs, 0.001, 0)[1]) == 1
    with pytest.raises(ValueError, match="data.val_share: expected a share of the scenes above 0 and below 1, got 1.5"):
        split(pairs, 1.5, 0)
    with pytest.raises(ValueError, match="split: expected at least two pairs, got 1; add"):
        split(pairs[:1], 0.5, 0)


@pytest.mark.parametrize(
    ("file", "template", "name"),
    [
        ("a.jpg", "{}.png", None),
        ("a.JPG", "{}.jpg", "a"),
        ("a_mask.gif", "{}_mask.gif", "a"),
        ("a_mask.GIF", "{}_mask.gif", "a"),
        ("a.gif", "{}_mask.gif", None),
        ("a_v1.0.png", "{}_v1.0", "a"),
        ("Ba\u0308ume/u\u0308.png", "{}", "B\u00e4ume/\u00fc"),
        ("u\u0308_\u00e4.png", "{}_a\u0308", "\u00fc"),
    ],
)
def test_suffixes_and_accents(file: str, template: str, name: str | None) -> None:
    assert shared_name(file, template) == name


@pytest.mark.parametrize(("image_template", "template"), [("{}.jpg", "{}.png"), ("{}.JPEG", "{}_mask.gif")])
def test_one_folder_with_two_suffixes(tmp_path: Path, image_template: str, template: str) -> None:
    touch(*(tmp_path / t.format(f"{n}\u0308") for n in "ao" for t in (image_template, template)))
    pairs = pair(tmp_path, tmp_path, image_template=image_template, template=template)
    assert [(p.name, p.image.suffix, p.mask.suffix) for p in pairs] == [
        (n, image_template[2:], f".{template.rpartition('.')[2]}") for n in ("\u00e4", "\u00f6")
    ]


def test_composed_and_decomposed_names_pair(tmp_path: Path) -> None:
    touch(tmp_path / "i/Stra\u00dfe/\u00fc.png", tmp_path / "m/Stra\u00dfe/u\u0308.png")
    assert [p.name for p in pair(tmp_path / "i", tmp_path / "m")] == ["Stra\u00dfe/\u00fc"]
    touch(tmp_path / "m/Stra\u00dfe/\u00fc.png")
    with pytest.raises(ValueError, match="expected one file named 'Stra\u00dfe/\u00fc', got"):
        pair(tmp_path / "i", tmp_path / "m")


FILES = ("a", "town/b", "town/c", "city/b", "photo #2", "#3", "one two", "photo")


@pytest.fixture
def listed(tmp_path: Path) -> Callable[[bytes], list[tuple[str, str]]]:
    """Image and mask, relative and without suffix, that a list in the folder ``x`` names."""
    touch(*(tmp_path / f"x/i/{name}.jpg" for name in FILES), *(tmp_path / f"x/m/{name}.png" for name in FILES))
    touch(tmp_path / "x/m/one two three.png")

    def read(text: bytes) -> list[tuple[str, str]]:
        (tmp_path / "x/list.txt").write_bytes(text.replace(b"ROOT", str(tmp_path).encode()))
        images, masks = tmp_path / "x/i", tmp_path / "x/m"
        return [
            (p.image.relative_to(images).as_posix()[:-4], p.mask.relative_to(masks).as_posix()[:-4])
            for p in pair(images, masks, only=tmp_path / "x/list.txt")
        ]

    return read


@pytest.mark.parametrize(
    ("line", "image", "mask"),
    [
        ("photo #2.png", None, None),
        ("photo #2.jpg", "photo #2", None),
        ("photo #2", "photo #2", None),
        ("#3.jpg", "#3", None),
        ("one two.jpg", "one two", None),
        ("town/b", "town/b", None),
        ("city/b.jpg", "city/b", None),
        ("c.jpg", "town/c", None),
        ("c", "town/c", None),
        ("i/city/b.jpg", "city/b", None),
        ("./i/city/b.jpg", "city/b", None),
        ("../x/i/city/b.jpg", "city/b", None),
        ("ROOT/x/i/city/b.jpg", "city/b", None),
        ("/i/city/b.jpg", "city/b", None),
        ("town\\b.jpg", "town/b", None),
        ('"one two.jpg"', "one two", None),
        ("a.jpg a.png", "a", "a"),
        ("i/a.jpg\tm/photo.png", "a", "photo"),
        ("i/town/b.jpg, m/town/b.png", "town/b", "town/b"),
        ("a.jpg,ROOT/x/m/photo #2.png", "a", "photo #2"),
        ("one two.jpg one two.png", "one two", "one two"),
        ("one two.jpg one two three.png", "one two", "one two three"),
        ('"one two.jpg","photo #2.png"', "one two", "photo #2"),
    ],
)
def test_lines_of_lists(
    listed: Callable[[bytes], list[tuple[str, str]]], line: str, image: str | None, mask: str | None
) -> None:
    if image is None:
        with pytest.raises(ValueError, match="line 1: expected"):
            listed(line.encode())
    else:
        assert listed(line.encode()) == [(image, mask or image)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("b.jpg", "line 1: expected one file, got 'b.jpg', which may be '.*city/b.jpg', '.*town/b.jpg'; write more"),
        (
            "a.jpg b.png",
            "line 1: expected one file, got 'a.jpg b.png', which may be '.*m/city/b.png', '.*m/town/b.png'; write",
        ),
        ("a.jpg nothing.png", "line 1: expected the name of a mask after 'a.jpg', such as '#3', got 'nothing.png'"),
        ("a.jpg # good", "got '# good'; correct or remove it; a comment needs a line of its own"),
        ("a.jpg\na.jpg photo.png", "list.txt: expected one image and one mask named 'a', got several; remove"),
        ("/elsewhere/a.jpg", "line 1: expected the name of an image, such as '#3', got '/elsewhere/a.jpg'"),
    ],
)
def test_lines_that_fit_no_file_or_several(
    listed: Callable[[bytes], list[tuple[str, str]]], line: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        listed(line.encode())


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-mark", "utf-16-be-mark", "latin-1", "utf-16-le", "utf-32"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_of_lists(tmp_path: Path, encoding: str, end: str) -> None:
    touch(*(tmp_path / f"{kind}/{name}.png" for kind in "im" for name in ("stra\u00dfe", "b")))
    marks = {"utf-16-le-mark": codecs.BOM_UTF16_LE, "utf-16-be-mark": codecs.BOM_UTF16_BE}
    text = f"stra\u00dfe.png{end}{end}b{end}".encode(encoding.removesuffix("-mark"))
    (tmp_path / "list.txt").write_bytes(marks.get(encoding, b"") + text)
    if encoding in {"latin-1", "utf-16-le", "utf-32"}:
        with pytest.raises(ValueError, match="list.txt: expected a list in UTF-8, got another encoding .*; save it as"):
            pair(tmp_path / "i", tmp_path / "m", only=tmp_path / "list.txt")
    else:
        pairs = pair(tmp_path / "i", tmp_path / "m", only=tmp_path / "list.txt")
        assert [p.name for p in pairs] == ["b", "stra\u00dfe"]


def test_a_seeded_split_by_scene() -> None:
    names = [f"{scene}/{scene}_{y:05}_{x:05}" for scene in "abcdefgh" for y in (0, 448) for x in (0, 448)]
    assert scenes_of([*names, "aachen/aachen_000000_000019", "a_00000_00000"]) == [
        *(name[0] for name in names),
        "aachen/aachen_000000_000019",
        "a_00000_00000",
    ]
    for seed in range(5):
        train, val = split(names, 0.25, seed, scenes_of(names))
        assert sorted(train + val) == names
        assert len(val) == 8
        assert not {name[0] for name in train} & {name[0] for name in val}
    sizes = {"a": 90, "b": 5, "c": 5}  # whole scenes, as near to the share as they allow
    members = [name for name, size in sizes.items() for _ in range(size)]
    for seed in range(5):
        assert 5 <= len(split(members, 0.2, seed, members)[1]) <= 10
    assert split(names, 0.25, 3, names) == split(names, 0.25, 3)
    with pytest.raises(
        ValueError, match="split: expected pairs of at least two scenes, got 4 of one, 'a'; add another"
    ):
        split(names[:4], 0.25, 0, scenes_of(names[:4]))


def test_scenes_by_a_regular_expression() -> None:
    assert scenes_of(["x/a_1", "y/b_2"], "[ab]_") == ["a_", "b_"]
    assert scenes_of(["x/a_1", "y/b_2"], "^(.)/(.)") == ["x", "y"]
    with pytest.raises(
        ValueError, match=r"data.group: expected '\(a\)_' to find a scene in every name, got none in 1 of 2"
    ):
        scenes_of(["x/a_1", "y/b_2"], "(a)_")
    with pytest.raises(ValueError, match=r"data.group: expected a regular expression, such as '.*', got '\('"):
        scenes_of(["a"], "(")


class TestSeveralFolders:
    def test_names_begin_with_what_differs(self, tmp_path: Path) -> None:
        for day in ("d1/x", "d2"):
            write_pairs(tmp_path / day, 2)
        folders = [[tmp_path / day / kind for day in ("d1/x", "d2")] for kind in ("images", "masks")]
        pairs = pair(*folders)
        assert [p.name for p in pairs] == ["d1/x/s0", "d1/x/s1", "d2/s0", "d2/s1"]
        assert pairs[2].image == tmp_path / "d2/images/s0.png"
        assert pairs[2].mask == tmp_path / "d2/masks/s0.png"
        (tmp_path / "list.txt").write_text("s1\n")
        assert [p.name for p in pair(*folders, only=[tmp_path / "list.txt", None])] == ["d1/x/s1", "d2/s0", "d2/s1"]
        one = pair([folders[0][0]], [folders[1][0]], only=tmp_path / "list.txt")
        assert [p.name for p in one] == ["s1"]

    def test_what_does_not_go_together(self, tmp_path: Path) -> None:
        write_pairs(tmp_path / "a", 2)
        write_pairs(tmp_path / "a/images/b", 2)
        images, masks = tmp_path / "a/images", tmp_path / "a/masks"
        with pytest.raises(ValueError, match="2 of images, 1 of masks and 2 lists; give as many, in the same order"):
            pair([images, images / "b/images"], masks)
        for inner in (images, images / "b/images"):
            with pytest.raises(ValueError, match="expected folders apart, got '.*' within '.*'; name one of them"):
                pair([images, inner], [masks, masks])
        with pytest.raises(ValueError, match="0 of images"):
            pair([], [])

    @pytest.mark.slow
    def test_commands(self, tmp_path: Path, data: Path, script: Script) -> None:
        write_pairs(tmp_path / "more", 4, first=20)
        both = {kind: f"[{data / 'train' / kind},{tmp_path / 'more' / kind}]" for kind in ("images", "masks")}
        options = [*train_options(data), *(f"data.train.{kind}={folders}" for kind, folders in both.items())]
        result = script("seg-train", *options, "fit.epochs=1", "name=a")
        assert result.returncode == 0, result.stderr
        assert "checking 10 training and 2 validation pairs" in result.stdout
        result = script("seg-evaluate", **both, checkpoint="runs/a/best.pt", destination="out")
        assert result.returncode == 0, result.stderr
        names = {line.partition(",")[0] for line in (tmp_path / "out/per_image.csv").read_text().splitlines()[1:]}
        assert {"more/s20", "data/train/s0"} <= names
        audit = script("seg-audit", **both, destination="audit", json="true")
        assert json.loads(audit.stdout)["splits"][0]["pairs"] == 10, audit.stdout
        fails(
            script("seg-predict", images=both["images"], checkpoint="runs/a/best.pt", destination="o"), 2, "one folder"
        )
        other = LabelMap([Label("a", ((1, 1, 1),)), Label("b", ((2, 2, 2),)), Label("c", ((3, 3, 3),))])
        other.save(tmp_path / "more/masks/labels.yaml")
        fails(script("seg-train", *options, "name=b"), 2, "got masks in '.*more/masks' that were made with a, b, c")


def test_numbers_that_may_be_values_are_told(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A label map with values says how label images are converted; of masks without ``labels.yaml`` nobody knows."""
    labels = LabelMap([Label("wall", values=(1,)), Label("floor", values=(2,)), Label("not", values=(0,), ignore=True)])
    labels.save(tmp_path / "values.yaml")
    masks = data / "train" / "masks"
    source = Source(train=Part(data / "train" / "images", masks))
    labels.save(masks / "labels.yaml")
    assert source.load_labels(None) == source.load_labels(str(tmp_path / "values.yaml"))
    assert not caplog.text, "seg-preprocess converted them"
    (masks / "labels.yaml").unlink()
    source.load_labels(str(tmp_path / "values.yaml"))
    assert "taken as indices, 0 for 'wall', though the label map has values, 1 for 'wall'" in caplog.text
    caplog.clear()
    LabelMap([Label("wall", values=(0,)), Label("floor", values=(1,))]).save(tmp_path / "values.yaml")
    source.load_labels(str(tmp_path / "values.yaml"))
    assert not caplog.text
