"""The audit: each trap is found, and nothing else; the report stands alone; exit codes.

python -m pytest tests/audit/test_audit.py
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import LABELS, SHARED, scene
from PIL import Image

from seg.audit import Audit, Split, audit, files
from seg.audit.files import open_image
from seg.audit.report import verdict, write_report
from seg.convert import convert_folder
from seg.files import write_json
from seg.images import RGB
from seg.labels import Label, LabelMap

Found = set[tuple[str, str, str]]


def picture(seed: int, height: int = 64, width: int = 96) -> np.ndarray:
    """An image that resembles that of no other seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def put(root: Path, part: str, name: str, image: np.ndarray | None, mask: np.ndarray | None) -> None:
    """Write a pair, or half of it; image and mask are BGR or one channel. A name without suffix gets .png."""
    file = name if "." in name else f"{name}.png"
    for kind, pixels in (("images", image), ("masks", mask)):
        if pixels is not None:
            assert cv2.imwrite(str(root / part / kind / file), pixels)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Clean splits: train/ and val/, each with images/ and masks/."""
    for part, count, first in (("train", 6, 0), ("val", 4, 100)):
        for kind in ("images", "masks"):
            (tmp_path / "data" / part / kind).mkdir(parents=True)
        for seed in range(first, first + count):
            put(tmp_path / "data", part, f"s{seed}", picture(seed), scene(seed)[1])
        LABELS.save(tmp_path / "data" / part / "masks" / "labels.yaml")
    return tmp_path / "data"


def look(root: Path, labels: LabelMap = LABELS, parts: tuple[str, ...] = ("train", "val"), **options: str) -> Audit:
    return audit([Split(part, root / part / "images", root / part / "masks") for part in parts], labels, **options)


def found(result: Audit) -> Found:
    return {(finding.check, finding.severity, finding.split) for finding in result.findings}


def made_with(labels: LabelMap, root: Path, *parts: str) -> None:
    for part in parts or ("train", "val"):
        labels.save(root / part / "masks" / "labels.yaml")


def masks_of(root: Path, *parts: str) -> list[Path]:
    return [path for part in parts or ("train", "val") for path in sorted((root / part / "masks").glob("*.png"))]


def change_masks(change: Callable[[np.ndarray], np.ndarray], *parts: str) -> Callable[[Path], None]:
    """Replace every mask of the parts."""

    def spoil(root: Path) -> None:
        for path in masks_of(root, *parts):
            cv2.imwrite(str(path), change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))

    return spoil


def change_images(change: Callable[[np.ndarray], np.ndarray], *parts: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        for part in parts:
            for path in (root / part / "images").iterdir():
                cv2.imwrite(str(path), change(cv2.imread(str(path))))

    return spoil


def colours(mask: np.ndarray) -> np.ndarray:
    """The BGR label image of a mask; void is black."""
    table = np.zeros((256, 3), np.uint8)
    table[:3] = LABELS.palette
    return table[mask][..., ::-1]


def off_colour(mask: np.ndarray) -> np.ndarray:
    image = colours(mask).copy()
    image[5, 7] = 252, 20, 10  # BGR, two levels beside sky
    return image


def fill(value: int, rows: slice = slice(None)) -> Callable[[np.ndarray], np.ndarray]:
    def change(mask: np.ndarray) -> np.ndarray:
        mask[rows] = value
        return mask

    return change


def small_car(mask: np.ndarray) -> np.ndarray:
    mask[mask == 2] = 0
    mask[10:12, 20:22] = 2
    return mask


def without_car(mask: np.ndarray) -> np.ndarray:
    mask[mask == 2] = 0
    return mask


def with_alpha(alpha: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(image: np.ndarray) -> np.ndarray:
        image = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
        image[:8, :, 3] = alpha
        return image

    return change


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)


def cut_jpeg(root: Path) -> None:
    path = root / "train/images/s0.jpg"
    cv2.imwrite(str(path), picture(0))
    cut(path)
    (root / "train/images/s0.png").unlink()


def only_two_cars(root: Path) -> None:
    for path in masks_of(root, "train")[2:]:
        cv2.imwrite(str(path), without_car(cv2.imread(str(path), -1)))


def lossy(root: Path) -> None:
    (root / "train/masks/s0.png").unlink()
    put(root, "train", "s0.jpg", None, colours(scene(0)[1]))


def brighter(root: Path) -> None:
    image = picture(0) * 0.8 + 20 + np.random.default_rng(0).normal(0, 5, (64, 96, 3))
    put(root, "val", "again", image.clip(0, 255).astype(np.uint8), scene(0)[1])


CASES: dict[str, tuple[Callable[[Path], object], Found]] = {
    "clean": (lambda root: None, set()),
    "image alone": (
        lambda root: (root / "train/masks/s0.png").unlink(),
        {("image-without-mask", "error", "train")},
    ),
    "mask alone": (lambda root: (root / "val/images/s100.png").unlink(), {("mask-without-image", "error", "val")}),
    "one name twice": (
        lambda root: put(root, "train", "s0.bmp", picture(0), None),
        {("image-name-twice", "error", "train")},
    ),
    "sizes differ": (
        lambda root: put(root, "train", "s0", None, scene(0)[1][:, :-1]),
        {("size-mismatch", "error", "train")},
    ),
    "no image": (
        lambda root: (root / "train/images/s0.png").write_bytes(b"text"),
        {("unreadable-image", "error", "train")},
    ),
    "empty mask file": (
        lambda root: (root / "train/masks/s0.png").write_bytes(b""),
        {("unreadable-mask", "error", "train")},
    ),
    "cut PNG image": (lambda root: cut(root / "val/images/s100.png"), {("unreadable-image", "error", "val")}),
    "cut JPEG image": (cut_jpeg, {("unreadable-image", "error", "train")}),
    "flipped bit": (lambda root: flip(root / "val/images/s100.png"), {("unreadable-image", "error", "val")}),
    "cut mask": (lambda root: cut(root / "val/masks/s100.png"), {("unreadable-mask", "error", "val")}),
    "value outside": (
        lambda root: put(root, "train", "s0", None, fill(7, slice(40, 41))(scene(0)[1])),
        {("unlisted", "error", "train")},
    ),
    "label images": (change_masks(colours, "train"), {("label-image", "note", "train")}),
    "colour outside": (
        change_masks(off_colour, "train"),
        {("label-image", "note", "train"), ("unlisted", "error", "train")},
    ),
    "0 and 255": (
        change_masks(lambda mask: np.where(mask == 2, 255, 0).astype(np.uint8)),
        {("binary-255", "error", "train"), ("binary-255", "error", "val")},
    ),
    "class not trained on": (change_masks(without_car, "train"), {("class-absent", "error", "train")}),
    "class not scored": (change_masks(without_car, "val"), {("class-absent", "warning", "val")}),
    "one class everywhere": (
        lambda root: put(root, "val", "s100", None, np.zeros((64, 96), np.uint8)),
        {("single-class", "note", "val")},
    ),
    "one ignored mask": (
        lambda root: put(root, "train", "s0", None, np.full((64, 96), 255, np.uint8)),
        {("all-ignored", "warning", "train"), ("ignored-share", "note", "train")},
    ),
    "much ignored": (
        change_masks(lambda mask: np.vstack([mask, np.full_like(mask, 255)]), "val"),
        {("ignored-share", "warning", "val"), ("size-mismatch", "error", "val")},
    ),
    "copies": (
        lambda root: put(root, "train", "copy", picture(0), scene(0)[1]),
        {("duplicate", "warning", "train")},
    ),
    "two masks of one image": (
        lambda root: put(root, "train", "copy", picture(0), scene(1)[1]),
        {("contradiction", "warning", "train, val")},
    ),
    "leak": (lambda root: put(root, "val", "copy.bmp", picture(0), None) or put(root, "val", "copy", None, scene(0)[1]),
        {("leak", "error", "train, val")},
    ),
    "nearly the same": (brighter, {("near-leak", "warning", "train, val")}),
    "two sizes": (
        lambda root: put(root, "train", "tall", picture(9, 96, 64), scene(9, 96, 64)[1]),
        {("mixed-sizes", "note", "train")},
    ),
    "gray among RGB": (
        lambda root: put(root, "train", "s0", picture(0)[..., 0], None),
        {("mixed-kinds", "note", "train")},
    ),
    "16 bits among 8": (
        lambda root: put(root, "train", "s0", picture(0).astype(np.uint16) * 257, None),
        {("mixed-kinds", "note", "train")},
    ),
    "opaque alpha": (change_images(with_alpha(255), "val"), {("alpha", "note", "val")}),
    "transparent": (change_images(with_alpha(0), "val"), {("transparent", "warning", "val")}),
    "blank": (
        lambda root: put(root, "train", "s0", np.full((64, 96, 3), 80, np.uint8), None),
        {("blank-image", "warning", "train")},
    ),
    "JPEG mask": (
        lossy,
        {("lossy-mask", "warning", "train"), ("label-image", "note", "train"), ("unlisted", "error", "train")},
    ),
    "imbalance": (change_masks(small_car), {("imbalance", "warning", "train")}),
    "rare": (only_two_cars, {("rare-class", "warning", "train"), ("imbalance", "note", "train")}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_trap_is_found_and_nothing_else(case: str, root: Path) -> None:
    spoil, expected = CASES[case]
    spoil(root)
    assert found(look(root)) == expected


def test_all_ignored_is_an_error(root: Path) -> None:
    change_masks(fill(255), "train")(root)
    assert found(look(root, parts=("train",))) == {("all-ignored", "error", "train")}


def test_classes_in_no_mask(root: Path) -> None:
    labels = LabelMap([*LABELS.labels, Label("bus", ((1, 2, 3),))])
    made_with(labels, root)
    result = look(root, labels)
    assert found(result) == {("class-never-seen", "warning", "train, val")}
    assert result.findings[0].examples[0].detail == "bus"


def test_label_maps_that_differ(root: Path) -> None:
    """Between the parts, from the one that is given, of shards that were not merged."""
    turned = LabelMap(LABELS.labels[::-1])
    made_with(turned, root, "val")
    [finding] = look(root).findings
    assert (finding.check, finding.severity, finding.split) == ("label-map", "error", "val")
    assert f"got masks in '{root / 'val/masks'}' that were made with {', '.join(turned.names)}" in finding.text
    assert finding.advice == "convert all masks with one label map"
    made_with(turned, root)
    assert {split for check, _, split in found(look(root)) if check == "label-map"} == {"train", "val"}
    made_with(LABELS, root)
    (root / "train/masks/manifest.1-of-2.json").write_text("{}")
    [finding] = look(root).findings
    assert finding.text.startswith("masks: expected shards that were merged")
    assert finding.advice == "give the same seg-preprocess command once more, without shard"


def test_void_that_is_not_ignored(root: Path) -> None:
    labels = LabelMap([*LABELS.labels[:2], Label("Unlabelled", ((250, 10, 10),)), LABELS.labels[3]])
    made_with(labels, root)
    [finding] = look(root, labels).findings
    assert (finding.check, finding.severity) == ("void-class", "warning")
    assert finding.advice == "use ignore=[Unlabelled]"


def test_messages_say_where_and_what_to_do(root: Path) -> None:
    put(root, "train", "s0", None, off_colour(scene(0)[1]))
    put(root, "train", "s1", None, fill(7, slice(40, 41))(scene(1)[1]))
    [finding] = [finding for finding in look(root).findings if finding.check == "unlisted"]
    colour, value = finding.examples
    assert "colour (10, 20, 252) is not in the label map: 1 pixel" in colour.detail
    assert "nearest is (10, 20, 250) 'sky', 2 away" in colour.detail
    assert value.detail == "value 7 in 96 pixels; the map has 0..2 and 255"
    assert value.files == (str(root / "train/masks/s1.png"),)
    assert finding.text == "masks with values or colours outside the map: 2 of 6 (0.26 % of all pixels)"
    assert "seg-preprocess" in finding.advice


def test_gray_colours_read_as_indices_are_recognised(root: Path) -> None:
    put(root, "train", "s0", None, fill(120, slice(40, 41))(scene(0)[1]))
    [finding] = look(root).findings
    assert (
        "and the colour (120, 120, 120): as a label image, seg-preprocess can convert it" in finding.examples[0].detail
    )


def test_pixels_decide_what_is_a_duplicate(root: Path) -> None:
    """Another format, compression and name; the mask says whether it is the same pair."""
    put(root, "val", "copy.bmp", picture(0), None)
    put(root, "val", "copy", None, scene(1)[1])
    result = look(root)
    assert found(result) == {("leak", "error", "train, val"), ("contradiction", "warning", "train, val")}
    [leak] = [finding for finding in result.findings if finding.check == "leak"]
    assert leak.examples[0].files == (str(root / "train/images/s0.png"), str(root / "val/images/copy.bmp"))
    assert leak.examples[0].detail == "another mask"


def test_frames_of_one_video_in_one_split(root: Path) -> None:
    """A random split would leak; what is equal to the pixel counts as a copy only."""
    brighter(root)
    (root / "val/images/again.png").rename(root / "train/images/again.png")
    (root / "val/masks/again.png").rename(root / "train/masks/again.png")
    put(root, "train", "copy", picture(1), scene(1)[1])
    result = look(root, parts=("train",))
    assert found(result) == {("duplicate", "warning", "train"), ("near-copy", "note", "train")}
    [note] = [finding for finding in result.findings if finding.check == "near-copy"]
    assert {Path(file).stem for example in note.examples for file in example.files} == {"s0", "again"}


def test_gray_files_are_read_as_asked(root: Path) -> None:
    """0/255 masks are right where the map lists the gray colours and seg-preprocess will read them."""
    change_masks(lambda mask: np.where(mask == 2, 255, 0).astype(np.uint8))(root)
    labels = LabelMap([Label("ground", ((0, 0, 0),)), Label("car", ((255, 255, 255),))])
    assert ("binary-255", "error", "train") in found(look(root, labels))
    assert not {check for check, _, _ in found(look(root, labels, read="label"))} - {"label-image", "imbalance"}


def test_ids_are_read_by_value_unless_converted(root: Path) -> None:
    labels = LabelMap([Label("sky", values=(7,)), Label("road", values=(9,)), Label("car", values=(300,))])
    table = np.full(256, 9, np.uint16)
    table[[0, 2]] = 7, 300
    for part in ("train", "val"):
        (root / part / "masks/labels.yaml").unlink()
    change_masks(lambda mask: table[mask])(root)
    result = look(root, labels)
    assert found(result) == {("label-image", "note", "train"), ("label-image", "note", "val")}
    assert sum(result.totals[0].pixels) == 6 * 64 * 96


def test_numbers(root: Path) -> None:
    """Mean and standard deviation over all pixels of images of two sizes; pixels and images of each class."""
    put(root, "train", "tall", picture(9, 96, 64), scene(9, 96, 64)[1])
    train = look(root).totals[0]
    images = [open_image(path, RGB)[0] for path in sorted((root / "train/images").iterdir())]
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]) / 255
    np.testing.assert_allclose(train.mean, pixels.mean(0), atol=1e-12)
    np.testing.assert_allclose(train.std, pixels.std(0), atol=1e-12)
    masks = [cv2.imread(str(path), -1) for path in masks_of(root, "train")]
    counts = sum(np.bincount(mask.ravel(), minlength=256) for mask in masks)
    assert train.pixels == counts[:3].tolist()
    assert (train.ignored, train.unlisted, train.pairs) == (counts[255], 0, 7)
    assert train.images_with == [7, 7, 7]
    assert train.sizes == {"96 x 64": 6, "64 x 96": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"splits": []}, "splits: expected one or more of different names, got []; rename or add one"),
        ({"read": "colour"}, "read: expected auto, mask or label, got 'colour'; choose one"),
        ({"threads": "two"}, "threads: expected a whole number from 0 to 1024, got 'two'; give 0 for all cores"),
        ({"threads": -1}, "threads: expected a whole number from 0 to 1024, got -1; give 0 for all cores"),
        ({"splits": [Split("a", "no", "no")]}, "expected an existing folder, got 'no'; check the path"),
        ({"splits": [Split("a", ".", ".", template="x")]}, "template: expected one {} for the name"),
    ],
)
def test_wrong_requests(
    change: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(message)):
        audit(**({"splits": [Split("a", ".", ".")], "labels": LABELS} | change))  # type: ignore[arg-type]


def test_an_empty_folder_is_a_wrong_request(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected files like '\{\}' .*, got none in '.*'; check folder and template"):
        audit([Split("train", tmp_path, tmp_path)], LABELS)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "1", "BMP"])
def test_label_images_are_read_as_seg_preprocess_reads_them(mode: str, tmp_path: Path) -> None:
    """Palette, 1-bit and gray files by their colours, alpha dropped; pixels as in the converted masks."""
    labels = LabelMap([Label("dark", ((0, 0, 0),)), Label("bright", ((255, 255, 255),))])
    gray = Image.fromarray(np.where(scene(0)[1] == 1, 255, 0).astype(np.uint8))
    file = tmp_path / "labels" / ("s.bmp" if mode == "BMP" else "s.png")
    file.parent.mkdir()
    gray.convert("RGB" if mode == "BMP" else mode).save(file)
    summary = convert_folder(file.parent, tmp_path / "masks", labels)
    result = audit([Split("data", file.parent, file.parent)], labels, read="label")
    assert dict(zip(labels.names, result.totals[0].pixels, strict=True)) == summary.pixels
    assert summary.failed == result.totals[0].unlisted == 0


def test_one_folder_with_templates(tmp_path: Path) -> None:
    for seed in range(3):
        assert cv2.imwrite(str(tmp_path / f"s{seed}.png"), picture(seed))
        assert cv2.imwrite(str(tmp_path / f"s{seed}_L.png"), scene(seed)[1])
    result = audit([Split("data", tmp_path, tmp_path, template="{}_L.png")], LABELS)
    assert (found(result), result.totals[0].pairs) == (set(), 3)


def test_file_names_that_are_no_text(root: Path) -> None:
    for kind in ("images", "masks"):
        (root / "train" / kind / "s0.png").rename(os.fsdecode(os.fsencode(root / "train" / kind) + b"/\xff.png"))
    put(root, "val", "copy", picture(0), scene(0)[1])
    result = look(root)
    assert found(result) == {("leak", "error", "train, val")}
    write_json(root / "audit.json", result.to_dict())
    write_report(root / "audit.html", result)
    assert (root / "audit.html").read_text().count("\\xff.png") == 1


class References(HTMLParser):
    """What a page would load, and its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.elements: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.loaded += [value or "" for key, value in attrs if key in {"src", "href", "srcset", "data", "action"}]


def test_the_report_stands_alone_and_escapes_names(root: Path) -> None:
    evil = '<script>alert("x")</script>&amp'
    rest = [label for label in LABELS.labels if label.name != "car"]
    labels = LabelMap([*rest[:2], Label(evil, ((250, 10, 10),)), rest[2]])
    name = evil.replace("/", "")
    put(root, "train", name, picture(50), fill(7, slice(30, 40))(scene(50)[1]))
    put(root, "val", f"{name}2", picture(0), scene(0)[1])
    put(root, "val", "wrong", picture(60), scene(60)[1][1:])
    result = look(root, labels)
    write_report(root / "audit.html", result)
    page = (root / "audit.html").read_text()
    references = References(page)
    assert "script" not in references.elements
    assert all(source.startswith("data:image/jpeg;base64,") for source in references.loaded)
    assert len(references.loaded) >= 3 * 3 + 4
    assert "http" not in page.replace("<!doctype html>", "")
    assert "url(" not in page
    assert "@import" not in page
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;amp" in page
    assert verdict(result)[:2] == ("error", "Not fit to train on")
    for finding in result.findings:
        assert f"· {finding.check}</p>" in page


def test_the_report_of_unreadable_data(root: Path) -> None:
    """Nothing to draw, no statistics: still a page."""
    for path in (root / "train").rglob("*.png"):
        path.write_bytes(b"broken")
    result = look(root, parts=("train",))
    write_report(root / "audit.html", result)
    assert found(result) == {("unreadable-image", "error", "train"), ("unreadable-mask", "error", "train")}
    assert {("unreadable-image", "error", "train"), ("class-absent", "error", "train")} <= found(look(root))
    assert "Images that cannot be read: 6 of 6" in (root / "audit.html").read_text()


def command(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", "seg.commands.audit", *arguments]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


BOTH = [f"data.{part}.{kind}=data/{part}/{kind}" for part in ("train", "val") for kind in ("images", "masks")]


def test_clean_data_exits_with_0(root: Path) -> None:
    result = command(root.parent, *BOTH, "destination=out", "json=true")
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed == json.loads((root.parent / "out/audit.json").read_text())
    assert printed["counts"] == {"errors": 0, "warnings": 0, "notes": 0}
    assert [split["pairs"] for split in printed["splits"]] == [6, 4]
    assert sorted(path.name for path in root.parent.iterdir()) == ["data", "out"]


def splits_of(folder: Path, *arguments: str) -> dict[str, int]:
    result = command(folder, *arguments, "destination=out", "json=true")
    assert result.returncode in (0, 1), result.stderr
    return {split["name"]: split["pairs"] for split in json.loads(result.stdout)["splits"]}


def test_the_splits_of_a_training(root: Path) -> None:
    """Lists and the seeded share name the pairs that seg-train would take."""
    train = ["data.train.images=data/train/images", "data.train.masks=data/train/masks"]
    assert splits_of(root.parent, *train, "data.val_share=0.34") == {"train": 4, "val": 2}
    (root.parent / "train.txt").write_text("# by file name\ns0\ns1.png\n")
    (root.parent / "val.txt").write_text("s2\n")
    (root.parent / "test.txt").write_text("s3\ns4\ns5\n")
    lists = [f"data.{part}.list={part}.txt" for part in ("train", "val", "test")]
    assert splits_of(root.parent, *train, *lists) == {"train": 2, "val": 1, "test": 3}
    (root.parent / "val.txt").write_text("s2\nnowhere\n")
    result = command(root.parent, *train, *lists, "destination=out")
    assert (result.returncode, "val.txt, line 2: " in result.stderr and "got 'nowhere'; correct" in result.stderr) == (
        2,
        True,
    )


def test_a_data_set_by_name(tmp_path: Path) -> None:
    sizes = ["data.render.train=4", "data.render.val=3", "data.render.height=32", "data.render.width=48"]
    assert splits_of(tmp_path, "data=synthetic", *sizes) == {"train": 4, "val": 3}


def test_errors_exit_with_1_and_one_line(root: Path) -> None:
    put(root, "train", "s0", None, scene(0)[1][1:])
    result = command(root.parent, "images=data/train/images", "masks=data/train/masks", "destination=out")
    assert result.returncode == 1
    assert result.stderr == "error: 1 error found in the data; out/audit.html shows them\n"
    assert "differ in size" in result.stdout
    assert (root.parent / "out/audit.html").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["destination=out"], "missing on the command line: images=... masks=..."),
        (
            ["data.train.images=data/train/images", "destination=out"],
            "missing on the command line: data.train.masks=...",
        ),
        (
            ["images=a", "masks=b", *BOTH, "destination=out"],
            "expected images= and masks= for one split, or data.* for several, got both",
        ),
        (["images=data", "masks=data", "destination=out"], "expected a labels.yaml in 'data'"),
    ],
)
def test_wrong_requests_exit_with_2(arguments: list[str], message: str, root: Path) -> None:
    result = command(root.parent, *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (root.parent / "out").exists()


def test_torch_is_never_loaded() -> None:
    for statement, absent in (
        ("import seg.audit, seg.audit.report", {"torch", "hydra"}),
        ("import seg.commands.audit", {"torch", "numpy", "cv2"}),
    ):
        code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        assert not set(loaded) & absent


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data: real sets are not here")
@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("zoo/nuclei", {"binary-255"}),
        ("zoo/connector_inspection", {"unlisted", "label-image", "mixed-sizes"}),
        ("zoo/rcar_lane", {"label-image", "rare-class"}),
    ],
)
def test_real_sets(folder: str, expected: set[str]) -> None:
    data = SHARED / folder
    result = audit([Split("data", data / "images", data / "labels")], LabelMap.load(data / "class_dict.csv"))
    assert expected <= {finding.check for finding in result.findings}


def test_a_second_audit_looks_at_what_has_changed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And finds the same, to the byte of its report's data; duplicates among remembered files too."""
    shutil.copy(root / "train/images/s0.png", root / "val/images/s100.png")
    shutil.copy(root / "train/masks/s0.png", root / "val/masks/s100.png")
    for path in root.rglob("*.png"):
        os.utime(path, (1e9, 1e9))  # old enough to be remembered
    opened: list[str] = []
    monkeypatch.setattr(files, "open_image", lambda path, how: (opened.append(path.stem), open_image(path, how))[1])
    told: list[tuple[int, int]] = []
    first = audit_of(root)
    assert len(opened) == 10
    opened.clear()
    again = audit_of(root, progress=lambda *numbers: told.append(numbers))
    assert (opened, told) == ([], [(6, 10), (10, 10)])
    assert again.to_dict() == first.to_dict()
    assert any(finding.split == "train, val" for finding in again.findings)
    (root / "val/images/s101.png").write_bytes(b"no image")
    os.utime(root / "val/images/s101.png", (1e9, 1e9))
    for _ in range(2):  # a damaged file is looked at again
        opened.clear()
        assert ("unreadable-image", "error", "val") in found(audit_of(root))
        assert opened == ["s101"]
    opened.clear()
    look(root, LABELS.ignoring(["sky"]))  # another label map: masks mean something else
    assert len(opened) == 10


def audit_of(root: Path, **options: Any) -> Audit:
    parts = [Split(part, root / part / "images", root / part / "masks") for part in ("train", "val")]
    return audit(parts, LABELS, **options)
