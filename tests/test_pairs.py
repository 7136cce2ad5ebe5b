"""python -m pytest tests/test_pairs.py"""

from pathlib import Path

import pytest

from seg.pairs import Pair, list_images, pair, shared_name, split


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
    with pytest.raises(ValueError, match="data.val_share: expected a share between 0 and 1, got 1.5; try"):
        split(pairs, 1.5, 0)
    with pytest.raises(ValueError, match="split: expected at least two pairs, got 1; add"):
        split(pairs[:1], 0.5, 0)
