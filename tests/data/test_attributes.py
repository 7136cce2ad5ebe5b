"""python -m pytest tests/data/test_attributes.py"""

from pathlib import Path

import pytest

from seg.data.attributes import Slices, read_slices

IMAGES = [f"val/{i:02}" for i in range(20)]


def table(folder: Path, *columns: str, rows: dict[str, tuple[object, ...]] | None = None, between: str = ",") -> Path:
    """A table with a row for each image, or with these rows."""
    rows = {image: ("day" if i < 12 else "night",) for i, image in enumerate(IMAGES)} if rows is None else rows
    lines = [between.join(["image", *(columns or ("weather",))])]
    lines += [between.join([name, *map(str, cells)]) for name, cells in rows.items()]
    path = folder / "images.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def numbered(slices: Slices) -> dict[str, list[int]]:
    return {part.name: list(part.images) for part in slices.slices}


def of(folder: Path, *cells: object, images: list[str] = IMAGES) -> Slices:
    rows = {image: (cell,) for image, cell in zip(images, cells, strict=True)}
    return read_slices(table(folder, "x", rows=rows), images)


def test_words_make_a_slice_each(tmp_path: Path) -> None:
    found = read_slices(table(tmp_path), IMAGES)
    assert numbered(found) == {"weather=day": list(range(12)), "weather=night": list(range(12, 20))}
    assert found.notes == ()


@pytest.mark.parametrize("between", [",", ";"])
@pytest.mark.parametrize("ending", ["", ".png", ".JPG"])
def test_names_may_have_endings_in_any_order(tmp_path: Path, between: str, ending: str) -> None:
    rows = {f"{image}{ending}": (i % 2, "n" if i < 5 else "s") for i, image in reversed(list(enumerate(IMAGES)))}
    path = table(tmp_path, "night", "site", rows=rows, between=between)
    path.write_text("\ufeff" + path.read_text())
    assert numbered(read_slices(path, IMAGES)) == {
        "night=0": list(range(0, 20, 2)),
        "night=1": list(range(1, 20, 2)),
        "site=n": list(range(5)),
        "site=s": list(range(5, 20)),
    }


def test_many_numbers_are_cut_into_bins_of_like_size(tmp_path: Path) -> None:
    images = [str(i) for i in range(80)]
    found = of(tmp_path, *(100 - i / 4 for i in range(80)), images=images)
    assert [part.value for part in found.slices] == ["80.25 to 85", "85.25 to 90", "90.25 to 95", "95.25 to 100"]
    assert [len(part.images) for part in found.slices] == [20] * 4
    assert found.slices[0].images == tuple(range(60, 80))
    few = of(tmp_path, *range(20))
    assert [part.value for part in few.slices] == ["0 to 9", "10 to 19"]
    zeros = of(tmp_path, *[0] * 14, *range(1, 7))
    assert numbered(zeros) == {"x=0": list(range(14)), "x=1 to 6": list(range(14, 20))}


def test_numbers_that_look_alike_are_not_merged(tmp_path: Path) -> None:
    found = of(tmp_path, *[1000001] * 10, *[1000002] * 10)
    assert [part.value for part in found.slices] == ["1000001", "1000002"]


def test_few_numbers_are_words_in_their_order(tmp_path: Path) -> None:
    found = of(tmp_path, *[10, 9, 100, 9.0] * 5)
    assert [part.value for part in found.slices] == ["9", "10", "100"]
    assert sum(len(part.images) for part in found.slices) == 20


def test_what_is_not_known_is_in_no_slice_and_told(tmp_path: Path) -> None:
    found = of(tmp_path, *["day"] * 8, *["", " "] * 3, *["night"] * 6)
    assert numbered(found) == {"x=day": list(range(8)), "x=night": list(range(14, 20))}
    assert found.notes == ("x: 6 of 20 images have no value, and are in none of its slices",)


def test_rows_of_other_images_are_told(tmp_path: Path) -> None:
    rows = {image: ("day" if i < 12 else "night",) for i, image in enumerate(IMAGES)}
    found = read_slices(table(tmp_path, rows=rows | {f"train/{i}": ("day",) for i in range(4)}), IMAGES)
    assert found.notes == ("4 rows are of other images than those of the set (4: train/0, train/1, train/2, ...)",)
    assert sum(len(part.images) for part in found.slices) == 20


def test_columns_that_part_nothing_are_told(tmp_path: Path) -> None:
    rows = {image: ("ab"[i % 2], "", "x", f"id{i}", "4.5" if i else "odd") for i, image in enumerate(IMAGES)}
    rows |= {image: (*cells[:4], str(i / 7)) for i, (image, cells) in enumerate(rows.items()) if i}
    found = read_slices(table(tmp_path, "site", "empty", "same", "scene", "mixed", rows=rows), IMAGES)
    assert {part.attribute for part in found.slices} == {"site"}
    assert found.notes == (
        "column 'empty' is left out: it is empty",
        "column 'same' is left out: all images have the same value, 'x'",
        "column 'scene' is left out: 20 values of 20 images part them too finely",
        "column 'mixed' is left out: 20 values of 20 images part them too finely; 'odd' is no number, others are",
    )
    with pytest.raises(ValueError, match="expected a column in .* that parts the images, got none .*'x' is left out"):
        of(tmp_path, *[""] * 20)


def test_a_column_of_very_many_words_is_told(tmp_path: Path) -> None:
    images = [str(i) for i in range(606)]
    with pytest.raises(ValueError, match="'x' is left out: 101 values of 606 images part them too finely"):
        of(tmp_path, *(f"site{i % 101}" for i in range(606)), images=images)
    assert len(of(tmp_path, *(f"site{i % 100}" for i in range(606)), images=images).slices) == 100


@pytest.mark.parametrize("bad", ["nan", "NaN", "inf", "-inf"])
def test_a_number_that_is_none_is_refused(tmp_path: Path, bad: str) -> None:
    with pytest.raises(ValueError, match=f"column 'x', got {float(bad)} for 'val/03'; leave the cell empty"):
        of(tmp_path, *range(3), bad, *range(16))


def test_images_without_a_row_or_with_two_are_refused(tmp_path: Path) -> None:
    rows = dict.fromkeys(IMAGES[:-4], ("day",))
    message = r"expected a row for each of 20 images in .*, got none for 4: val/16, val/17, val/18, ...; add them"
    with pytest.raises(ValueError, match=message):
        read_slices(table(tmp_path, rows=rows), IMAGES)
    other = {image.removeprefix("val/"): ("day",) for image in IMAGES}
    with pytest.raises(ValueError, match="got none for 20: .*; its other rows are such as '00'; add them"):
        read_slices(table(tmp_path, rows=other), IMAGES)
    path = table(tmp_path)
    path.write_text(path.read_text() + "val/03.png,day\n")
    with pytest.raises(ValueError, match="expected one row of 'val/03' in .*, got two; remove one"):
        read_slices(path, IMAGES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a column 'image' and others, each with a name of its own, in .*, got nothing"),
        ("name,weather\na,day\n", "expected a column 'image' and others, .* got name, weather"),
        ("image\na\n", "got image; write such as image,weather,site"),
        ("image,x,x\na,1,2\n", "got image, x, x"),
        ("image,\na,1\n", "expected a column 'image'"),
        ("image,x\nval/00,1,2\n", "expected 2 cells in .*, row 2, got 3"),
        ('image,x\nval/00,"' + "a" * 200_000 + '"\n', "expected a table in .*, got another file"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "images.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_slices(path, IMAGES)


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"attributes: expected a table, got .*no.csv' \(No such file"):
        read_slices(tmp_path / "no.csv", IMAGES)
    (tmp_path / "x.csv").write_bytes(b"image,x\nval/00,\xff\xfe\n")
    with pytest.raises(ValueError, match=r"expected UTF-8 in .*, got another encoding"):
        read_slices(tmp_path / "x.csv", IMAGES)


def test_names_are_compared_as_accents_are_composed(tmp_path: Path) -> None:
    rows = {"e\u0301": ("d",), "b": ("d",), "c": ("n",), "d": ("n",)}
    found = read_slices(table(tmp_path, rows=rows), ["\u00e9", "b", "c", "d"])
    assert numbered(found) == {"weather=d": [0, 1], "weather=n": [2, 3]}
