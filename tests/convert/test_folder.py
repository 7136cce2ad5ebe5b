"""Folders of label images to masks: against a slow reference, interrupted, resumed, and with all that is wrong."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import SHARED, hear_hangups
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seg import _preproc
from seg.convert import convert_array, convert_folder, request
from seg.convert.sources import list_sources
from seg.convert.summary import Summary
from seg.convert.tiles import Cut
from seg.convert.weights import RULES, class_weights
from seg.files.manifest import Manifest, Record
from seg.labels import Label, LabelMap

LABELS = LabelMap(
    [
        Label("void", ((0, 0, 0),), (0,), ignore=True),
        Label("road", ((128, 64, 128), (10, 10, 10)), (7, 300)),
        Label("sky", ((70, 130, 180),), (23,)),
    ]
)
COLORS = [color for color, _ in LABELS.colors]


def reference(rgb: np.ndarray) -> np.ndarray:
    """The commonest recipe: one comparison a colour."""
    mask = np.full(rgb.shape[:2], 255, np.uint8)
    for color, index in LABELS.colors:
        mask[np.all(rgb == color, axis=-1)] = index
    return mask


def picture(seed: int, height: int = 20, width: int = 30) -> np.ndarray:
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, len(COLORS), (height // 4 + 1, width // 4 + 1)).repeat(4, 0).repeat(4, 1)
    return np.array(COLORS, np.uint8)[blocks[:height, :width]]


def save(path: Path, rgb: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), rgb[..., ::-1])
    return path


def read(path: Path) -> np.ndarray:
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert mask is not None
    return mask


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for i in range(5):
        save(tmp_path / "source" / f"sub{i % 2}" / f"{i}.png", picture(i))
    return tmp_path / "source"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def outcome(summary: Summary) -> tuple[int, int, int]:
    return summary.converted, summary.skipped, summary.failed


def lines(target: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (target / "manifest.jsonl").read_text().splitlines()]


# --- what is written


ENCODINGS = ("cv2.png", "pillow.png", "palette.png", "rgba.png", "wide.png", "cv2.bmp", "cv2.tif", "pillow.webp")


def encode(path: Path, rgb: np.ndarray, encoding: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if encoding == "pillow.webp":
        Image.fromarray(rgb).save(path, lossless=True)
    elif encoding == "pillow.png":
        Image.fromarray(rgb).save(path, optimize=True)
    elif encoding == "palette.png":
        Image.fromarray(rgb).quantize(16).save(path)
    elif encoding == "rgba.png":
        alpha = np.random.default_rng(0).integers(0, 2, rgb.shape[:2]) * 255
        Image.fromarray(np.dstack([rgb, alpha.astype(np.uint8)])).save(path)
    elif encoding == "wide.png":
        cv2.imwrite(str(path), rgb[..., ::-1].astype(np.uint16) * 257)
    else:
        save(path, rgb)


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 60)),
    seed=st.integers(0, 2**32 - 1),
    encoding=st.sampled_from(ENCODINGS),
)
@settings(max_examples=60, deadline=None)
def test_every_encoding_gives_the_reference(
    tmp_path_factory: pytest.TempPathFactory, size: tuple[int, int], seed: int, encoding: str
) -> None:
    folder = tmp_path_factory.mktemp("encoding")
    rgb = picture(seed, *size)
    encode(folder / "source" / f"a.{encoding.rpartition('.')[2]}", rgb, encoding)
    summary = convert_folder(folder / "source", folder / "target", LABELS, threads=1)
    assert outcome(summary) == (1, 0, 0), summary
    np.testing.assert_array_equal(read(folder / "target" / "a.png"), reference(rgb))
    np.testing.assert_array_equal(convert_array(rgb, LABELS), reference(rgb))


def test_beside_the_masks(source: Path, target: Path) -> None:
    told: list[tuple[int, int]] = []
    summary = convert_folder(source, target, LABELS, progress=lambda done, failed: told.append((done, failed)))
    names = [f"sub{i % 2}/{i}.png" for i in (0, 2, 4, 1, 3)]
    masks = {name: reference(picture(int(Path(name).stem))) for name in names}
    for name, mask in masks.items():
        np.testing.assert_array_equal(read(target / name), mask)
    assert LabelMap.load(target / "labels.yaml") == LABELS
    assert told[-1] == (5, 0)

    totals = np.bincount(np.concatenate([mask.ravel() for mask in masks.values()]), minlength=256)
    assert outcome(summary) == (5, 0, 0)
    assert (summary.pixels, summary.ignored) == ({"road": totals[0], "sky": totals[1]}, totals[255])
    with (target / "counts.csv").open(newline="") as file:
        rows = [(row["file"], row["class"], int(row["pixels"])) for row in csv.DictReader(file)]
    wanted_rows = {
        (name, label, int((mask == value).sum()))
        for name, mask in masks.items()
        for value, label in ((0, "road"), (1, "sky"), (255, "ignore"))
        if (mask == value).any()
    }
    assert set(rows) == wanted_rows
    assert list(dict.fromkeys(file for file, *_ in rows)) == names  # in the order of the listing

    present = {index: [mask for mask in masks.values() if (mask == index).any()] for index in (0, 1)}
    assert summary.images == {name: len(present[i]) for i, name in enumerate(("road", "sky"))}
    sizes = [sum(int((mask != 255).sum()) for mask in present[i]) for i in (0, 1)]
    assert list(summary.image_pixels.values()) == sizes
    weights = json.loads((target / "class_weights.json").read_text())
    assert set(weights) == {*RULES, "beta", "pixels", "images", "image_pixels"}
    counts = [int(totals[0]), int(totals[1])]
    by_rule = {"inverse": class_weights(counts, "inverse"),
               "median_frequency": class_weights(counts, "median_frequency", images=sizes),
               "effective_number": class_weights(counts, "effective_number", beta=weights["beta"])}  # fmt: skip
    for rule, wanted in by_rule.items():
        assert weights[rule] == dict(zip(("road", "sky"), wanted, strict=True))

    about = json.loads((target / "manifest.json").read_text())
    assert (about["converted"], about["labels"]) == (5, LABELS.digest)
    assert [(line["file"], line["status"]) for line in lines(target)] == [(name, "converted") for name in names]
    assert not list(target.rglob("*.tmp"))


def test_ids(tmp_path: Path, target: Path) -> None:
    ids = np.array([[0, 7, 23], [7, 7, 0]], np.uint8)
    wide = np.where(ids == 7, 300, ids.astype(np.uint16))
    (tmp_path / "ids").mkdir()
    cv2.imwrite(str(tmp_path / "ids" / "gray.png"), ids)
    cv2.imwrite(str(tmp_path / "ids" / "wide.png"), wide)
    cv2.imwrite(str(tmp_path / "ids" / "other.tif"), wide)
    assert outcome(convert_folder(tmp_path / "ids", target, LABELS)) == (3, 0, 0)
    for name in ("gray", "wide", "other"):
        assert read(target / f"{name}.png").tolist() == [[255, 0, 1], [0, 0, 255]]
    assert convert_array(ids.astype(np.int64), LABELS).tolist() == [[255, 0, 1], [0, 0, 255]]


def test_read_overrides(tmp_path: Path, target: Path) -> None:
    image = Image.new("P", (2, 1), 7)
    image.putpalette([c for i in range(256) for c in (COLORS[2] if i == 7 else (1, 1, 1))])
    (tmp_path / "in").mkdir()
    image.save(tmp_path / "in" / "a.png")
    wanted = {"auto": dict(LABELS.colors)[COLORS[2]], "color": dict(LABELS.colors)[COLORS[2]], "index": 0}
    for how, value in wanted.items():
        convert_folder(tmp_path / "in", target, LABELS, read=how)
        assert read(target / "a.png").tolist() == [[value, value]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_classes_coded_in_red_and_green(tmp_path: Path, target: Path, suffix: str) -> None:
    """As ADE20K's *_seg.png: value = red // 10 * 256 + green, blue tells instances apart."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (40, 50, 3), np.uint8)
    values = rgb[..., 0].astype(int) // 10 * 256 + rgb[..., 1]
    labels = LabelMap([Label("low", values=tuple(range(3000))), Label("high", values=tuple(range(3000, 6656)))])
    save(tmp_path / "in" / f"a.{suffix}", rgb)
    assert outcome(convert_folder(tmp_path / "in", target, labels, read="ade20k")) == (1, 0, 0)
    np.testing.assert_array_equal(read(target / "a.png"), values >= 3000)

    fewer = LabelMap([Label("low", values=tuple(range(6000)))])
    summary = convert_folder(tmp_path / "in", tmp_path / "other", fewer, read="ade20k")
    y, x = np.argwhere(values >= 6000)[0]
    distinct = len(np.unique(values[values >= 6000]))
    assert summary.failures[0][1].startswith(
        f"value {values[y, x]} is not in the label map: {(values >= 6000).sum()} pixels of {distinct} unlisted values, "
        f"the first at x={x}, y={y}"
    )
    cv2.imwrite(str(tmp_path / "in" / f"a.{suffix}"), rgb[..., 0])
    reason = convert_folder(tmp_path / "in", target, labels, read="ade20k").failures[0][1]
    assert re.search("read=ade20k: expected an RGB image .*, got a grayscale image; use read=auto", reason)
    colored = LabelMap([Label("a", ((0, 0, 0),))])
    save(tmp_path / "in" / f"a.{suffix}", rgb)
    reason = convert_folder(tmp_path / "in", target, colored, read="ade20k").failures[0][1]
    assert re.search("read=ade20k: expected values .* in the label map, got colours only; add values", reason)


@pytest.mark.parametrize("form", ["rgb.png", "rgba.png", "rgb.tif", "rgb.bmp"])
def test_classes_coded_in_red(tmp_path: Path, target: Path, form: str) -> None:
    """As in CARLA's instance images: value = red, green and blue tell instances apart."""
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    low, high = Label("low", values=tuple(range(100))), Label("high", values=tuple(range(100, 256)))
    pixels = np.dstack([rgb, np.full((40, 50), 255, np.uint8)]) if form == "rgba.png" else rgb
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / f"a.{form[-3:]}")
    assert outcome(convert_folder(tmp_path / "in", target, LabelMap([low, high]), read="red")) == (1, 0, 0)
    np.testing.assert_array_equal(read(target / "a.png"), rgb[..., 0] >= 100)

    reason = convert_folder(tmp_path / "in", tmp_path / "other", LabelMap([low]), read="red").failures[0][1]
    y, x = np.argwhere(rgb[..., 0] >= 100)[0]
    high_values = rgb[..., 0][rgb[..., 0] >= 100]
    assert reason.startswith(
        f"value {rgb[y, x, 0]} is not in the label map: {len(high_values)} pixels of {len(np.unique(high_values))} "
        f"unlisted values, the first at x={x}, y={y}"
    )
    reason = convert_folder(tmp_path / "in", tmp_path / "o", LabelMap([low]), read="auto").failures[0][1]
    assert "got values only; add the classes' colours to the label map, or use read=red if the values are" in reason
    reason = convert_folder(tmp_path / "in", target, LabelMap([Label("a", ((0, 0, 0),))]), read="red").failures[0][1]
    assert re.search(r"read=red: expected values \(red\) in the label map, got colours only; add values", reason)
    Image.fromarray(rgb[..., 0]).save(tmp_path / "in" / f"a.{form[-3:]}")
    reason = convert_folder(tmp_path / "in", target, LabelMap([low, high]), read="red").failures[0][1]
    assert "read=red: expected an RGB image with classes coded in red, got a grayscale image; use read=auto" in reason


def test_same_bytes_with_any_number_of_threads(source: Path, tmp_path: Path) -> None:
    for i in range(40):
        save(source / f"{i}.png", picture(i, 30 + i, 50))
    written = []
    for threads in (1, 4):
        target = tmp_path / str(threads)
        assert convert_folder(source, target, LABELS, threads=threads).converted == 45
        written.append({p.relative_to(target): p.read_bytes() for p in sorted(target.rglob("*.png"))})
        written[-1][Path("counts")] = (target / "counts.csv").read_bytes()
    assert written[0] == written[1]


def test_names_that_are_not_utf8(tmp_path: Path, target: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \n.PNG")
    save(tmp_path / "in" / "a.png", picture(0)).rename(tmp_path / "in" / name)
    save(tmp_path / "in" / "b.bmp", picture(0)).rename(tmp_path / "in" / os.fsdecode(b"\xff.bmp"))
    assert outcome(convert_folder(tmp_path / "in", target, LABELS)) == (2, 0, 0)
    assert (target / os.fsdecode(b"caf\xe9 \n.png")).exists()
    assert b"caf\xe9" in (target / "counts.csv").read_bytes()
    assert outcome(convert_folder(tmp_path / "in", target, LABELS)) == (0, 2, 0)


def test_how_far_an_interrupted_call_came_is_told(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    kept: list[Record] = []
    append = Manifest.append

    def third(self: Manifest, record: Record) -> None:
        if len(kept) == 2:
            raise KeyboardInterrupt
        kept.append(record)
        append(self, record)

    monkeypatch.setattr(Manifest, "append", third)
    with pytest.raises(KeyboardInterrupt):
        convert_folder(source, target, LABELS, progress=lambda *counts: told.append(counts))
    assert told[-1] == (2, 0)
    monkeypatch.undo()
    assert outcome(convert_folder(source, target, LABELS)) == (3, 2, 0)


@pytest.mark.parametrize(
    ("names", "ignored", "said"),
    [
        (["road", "Void"], [], r"'Void' becomes a class like any other; ignore=\[Void\] makes such pixels 255"),
        (["ignore", "_unlabelled_", "x"], ["x"], r"^'ignore' and '_unlabelled_' become .*ignore=\[x,ignore,_unlab"),
        (["road", "background", "avoid"], [], "^$"),
    ],
)
def test_classes_called_as_if_they_were_none_are_named(names: list[str], ignored: list[str], said: str) -> None:
    labels = LabelMap([Label(name, ((number, 0, 0),)) for number, name in enumerate(names)]).ignoring(ignored)
    assert re.search(said, request.void_classes(labels, ignored))


# --- what is not in the label map


PHOTO = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)


def test_photos_are_told_from_labels(tmp_path: Path, target: Path) -> None:
    save(tmp_path / "in" / "photo.png", PHOTO)
    save(tmp_path / "in" / "photo.jpg", PHOTO).rename(tmp_path / "in" / "lossy.jpg")
    summary = convert_folder(tmp_path / "in", target, LABELS)
    reasons = dict(summary.failures)
    text = (
        r"^colour .* of 4\d+ unlisted colours, .*; this looks like a photo, or .*: check source, or ask for the labels"
    )
    assert re.match(text, reasons["photo.png"])
    assert "add it to the label map" not in reasons["photo.png"]
    assert re.match(r"^colour .*; JPEG is lossy, .*; if this is a photo, .*, check source$", reasons["lossy.jpg"])

    noisy = picture(0, 64, 64) // 2 + 60 + PHOTO % 12  # as many colours, but all of them near those of this map
    near = LabelMap([Label(str(n), ((r // 2 + 66, g // 2 + 66, b // 2 + 66),)) for n, (r, g, b) in enumerate(COLORS)])
    with pytest.raises(ValueError, match=r"nearest is .*; add it to the label map, or use .* max_distance=6$"):
        convert_array(noisy, near)


@pytest.mark.parametrize("size", [None, (8, 8)])
def test_what_became_void_for_want_of_a_listed_colour_is_said(
    tmp_path: Path, target: Path, size: tuple[int, int] | None
) -> None:
    options = {"unknown": "ignore", "cut": size and Cut(size)}
    save(tmp_path / "in" / "photo.png", PHOTO)
    convert_folder(tmp_path / "in", target, LABELS, **options)
    again = convert_folder(tmp_path / "in", target, LABELS, **options)  # from the manifest, where nothing is converted
    assert again.skipped == 1
    (warning,) = again.warnings
    text = (
        r"unknown=ignore: 100.0% of all pixels became 255 \(ignore\) .* most in 'photo.png' \(100.0%\); .* check source"
    )
    assert re.match(text, warning)

    save(tmp_path / "in" / "void.png", np.zeros((64, 64, 3), np.uint8))  # void on purpose: its colour is listed
    summary = convert_folder(tmp_path / "in", target, LABELS, **options)
    assert summary.ignored == sum(row.size for row in map(read, target.glob("*.png")))
    assert not summary.warnings


def test_unknown_colors(source: Path, target: Path) -> None:
    rgb = picture(0)
    rgb[4, 3:5] = (1, 2, 3)
    rgb[5, 5] = (3, 2, 1)
    save(source / "sub0" / "0.png", rgb)
    reason = (
        r"colour \(1, 2, 3\) is not in the label map: 3 pixels of 2 unlisted colours, the first at x=3, y=4; "
        r"nearest is \(0, 0, 0\) 'void', 3 away; add it to the label map, or use unknown=ignore or "
        r"unknown=nearest max_distance=3$"
    )
    (target / "sub0").mkdir(parents=True)
    (target / "sub0" / "0.png").write_text("an older mask")
    summary = convert_folder(source, target, LABELS, overwrite=True)
    assert outcome(summary) == (4, 0, 1)
    assert not (target / "sub0" / "0.png").exists()
    assert summary.failures[0][0] == "sub0/0.png"
    with pytest.raises(ValueError, match=reason):
        raise ValueError(summary.failures[0][1])
    with pytest.raises(ValueError, match=reason):
        convert_array(rgb, LABELS)
    with pytest.raises(ValueError, match="or use unknown=ignore or unknown=nearest max_distance=3"):
        convert_array(rgb, LABELS, unknown="nearest", max_distance=2)

    for options in ({"unknown": "ignore"}, {"unknown": "nearest", "max_distance": 3}):
        assert outcome(convert_folder(source, target, LABELS, **options)) == (5, 0, 0)  # other options: all again
        mask = read(target / "sub0" / "0.png")
        assert mask[4, 3] == mask[5, 5] == 255
        np.testing.assert_array_equal(mask, convert_array(rgb, LABELS, **options))


def test_unknown_values_and_ties() -> None:
    with pytest.raises(
        ValueError, match="value 9 is not in the label map: 1 pixel of 1 unlisted value, the first at x=1"
    ):
        convert_array(np.array([[7, 9]], np.uint8), LABELS)
    labels = LabelMap([Label("a", ((0, 0, 0),)), Label("b", ((4, 0, 0), (4, 0, 1)))])
    with pytest.raises(ValueError, match=r"\(0, 0, 0\) 'a' and \(4, 0, 0\) 'b' are equally near, 2 away; add it to"):
        convert_array(np.array([[[2, 0, 0]]], np.uint8), labels, unknown="nearest", max_distance=9)


def test_bad_files_stop_no_other(source: Path, target: Path) -> None:
    good = (source / "sub0" / "0.png").read_bytes()
    (source / "cut.png").write_bytes(good[: len(good) // 2])
    (source / "empty.png").write_bytes(b"")
    (source / "text.bmp").write_text("text")
    (source / "notes.txt").write_text("not considered")
    (source / ".hidden.png").write_text("not considered")
    cv2.imwrite(str(source / "float.tif"), np.full((2, 2), 0.5, np.float32))
    summary = convert_folder(source, target, LABELS)
    assert outcome(summary) == (5, 0, 4)
    reasons = dict(summary.failures)
    assert "truncated PNG" in reasons["cut.png"]
    assert reasons["empty.png"] == "expected an image, got an empty file; export it again"
    assert "got one that cannot be decoded; replace it" in reasons["text.bmp"]
    assert "expected whole numbers, got 0.5 at x=0, y=0" in reasons["float.tif"]
    assert outcome(convert_folder(source, target, LABELS)) == (0, 5, 4)  # failures are tried again


LIMITED = """
import os, resource, sys
from seg.convert import convert_folder
from seg.labels import LabelMap
labels = LabelMap.load(sys.argv[3])
limit, user = map(int, sys.argv[4:])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
os.seteuid(user)
summary = convert_folder(sys.argv[1], sys.argv[2], labels, threads=2)
print(summary.converted, summary.skipped, *(f"{file}: {reason}" for file, reason in summary.failures), sep="\\n")
"""


def run_apart(folder: Path, limit: int = -1, user: int | None = None) -> "subprocess.CompletedProcess[str]":
    """Convert ``source`` to ``target`` as another user, or where no file may grow beyond ``limit`` bytes."""
    LABELS.save(folder / "labels.yaml")
    arguments = [folder / "source", folder / "target", folder / "labels.yaml", str(limit), str(user or os.geteuid())]
    return subprocess.run(
        [sys.executable, "-c", LIMITED, *arguments], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )


def test_no_room_for_a_mask(source: Path, target: Path) -> None:
    noise = np.random.default_rng(0).integers(0, len(COLORS), (300, 300))
    save(source / "large.png", np.array(COLORS, np.uint8)[noise])
    result = run_apart(source.parent, limit=6000)
    lines = result.stdout.splitlines()
    assert lines[:2] == ["5", "0"], result.stderr
    assert lines[2].startswith("large.png: cannot write")
    assert "File too large" in lines[2]
    assert not list(target.rglob("large.png"))
    assert not list(target.rglob("*.tmp"))
    assert outcome(convert_folder(source, target, LABELS)) == (1, 5, 0)


def test_no_room_for_the_manifest(source: Path, target: Path) -> None:
    result = run_apart(source.parent, limit=700)
    assert result.returncode == 1
    reason = (
        r"OSError: cannot write to '.*manifest.jsonl': (File too large|no space left); make room and repeat the command"
    )
    assert re.search(reason, result.stderr), result.stderr
    assert not list(target.rglob("*.tmp"))
    summary = convert_folder(source, target, LABELS)
    assert summary.skipped > 0  # what was done is kept
    assert summary.converted + summary.skipped == 5


def test_files_without_permission() -> None:
    """As somebody other than root: an unreadable file, an unreadable folder and a folder that cannot be written to."""
    user = os.geteuid() or 65534
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        for path in ("a.png", "locked.png", "sub/b.png", "closed/c.png"):
            save(folder / "source" / path, picture(0))
        (folder / "target" / "sub").mkdir(parents=True)
        modes = {"": 0o755, "target": 0o777, "target/sub": 0o555, "source/locked.png": 0, "source/closed": 0}
        for path, mode in modes.items():
            (folder / path).chmod(mode)
        try:
            result = run_apart(folder, user=user)
        finally:
            (folder / "source" / "closed").chmod(0o755)
            (folder / "target" / "sub").chmod(0o755)
    assert result.returncode == 0, result.stderr
    count, skipped, *failed = result.stdout.splitlines()
    assert (count, skipped) == ("1", "0")
    assert sorted(failed)[0] == "closed/: cannot list the folder: Permission denied"
    assert re.fullmatch(r"locked.png: cannot (read|open).*Permission denied.*", sorted(failed)[1]), failed
    assert re.fullmatch(r"sub/b.png: cannot write.*Permission denied.*", sorted(failed)[2]), failed


def test_files_that_vanish(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def listed(*arguments: Any) -> Any:
        for found in list_sources(*arguments):
            if found.name == "sub1/3.png":
                found.path.unlink()
            yield found

    monkeypatch.setattr("seg.convert.folder.list_sources", listed)
    (source / "link.png").symlink_to(source / "nowhere.png")
    summary = convert_folder(source, target, LABELS)
    assert outcome(summary) == (4, 0, 2)
    for name in ("link.png", "sub1/3.png"):
        assert "No such file or directory" in dict(summary.failures)[name]


def test_very_long_names(tmp_path: Path, target: Path) -> None:
    """As long as the file system allows, which leaves no room for a suffix of ours."""
    for suffix in (".png", ".bmp", ".webp"):
        name = "x" * (255 - len(suffix)) + suffix
        save(tmp_path / "in" / name, np.zeros((2, 2, 3), np.uint8))
    summary = convert_folder(tmp_path / "in", target, LABELS)
    assert outcome(summary) == (1, 0, 2)  # .png and .bmp would write one mask
    assert (target / ("x" * 250 + ".png")).exists()
    deep = tmp_path / "deep" / "/".join(["d" * 200] * 15)
    deep.mkdir(parents=True)
    save(deep / "a.png", picture(0))
    summary = convert_folder(tmp_path / "deep", tmp_path / "a folder whose name makes the paths longer", LABELS)
    assert outcome(summary) == (1, 0, 0)


def test_two_sources_of_one_mask(source: Path, target: Path) -> None:
    convert_folder(source, target, LABELS)
    save(source / "sub0" / "0.bmp", picture(9))
    summary = convert_folder(source, target, LABELS)
    assert outcome(summary) == (0, 4, 2)
    reason = "0.bmp and 0.png would write one mask, sub0/0.png; rename or remove all but one"
    assert summary.failures == (("sub0/0.bmp", reason), ("sub0/0.png", reason))
    assert not (target / "sub0" / "0.png").exists()
    assert outcome(convert_folder(source, target, LABELS, pattern="**/*.png")) == (1, 4, 0)


def test_jpeg_is_warned_of(tmp_path: Path, target: Path) -> None:
    for name in "ab":
        save(tmp_path / "in" / f"{name}.jpg", np.full((8, 8, 3), 10, np.uint8))
    summary = convert_folder(tmp_path / "in", target, LABELS, unknown="nearest", max_distance=9)
    assert outcome(summary) == (2, 0, 0)
    assert len(summary.warnings) == 1
    assert "JPEG is lossy" in summary.warnings[0]


def test_lossy_webp_is_warned_of(tmp_path: Path, target: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((8, 8, 3), 10, np.uint8)).save(tmp_path / "in" / "a.webp", quality=90)
    summary = convert_folder(tmp_path / "in", target, LABELS, unknown="ignore")
    assert [warning[:13] for warning in summary.warnings] == ["WebP is lossy"]


def test_images_too_large_are_not_decoded(source: Path, target: Path) -> None:
    save(source / "large.png", picture(0, 40, 30))
    save(source / "large.bmp", picture(0, 40, 31)).rename(source / "other.bmp")
    summary = convert_folder(source, target, LABELS, max_pixels=20 * 30)
    assert outcome(summary) == (5, 0, 2)
    assert dict(summary.failures) == {
        "large.png": "too large: expected at most 600 pixels (max_pixels), got 30 x 40; raise max_pixels",
        "other.bmp": "too large: expected at most 600 pixels (max_pixels), got 31 x 40; raise max_pixels",
    }
    assert outcome(convert_folder(source, target, LABELS)) == (2, 5, 0)  # a larger limit changes nothing else


def test_png_named_jpg_is_read_as_what_it_is(tmp_path: Path, target: Path) -> None:
    save(tmp_path / "in" / "a.png", picture(1)).rename(tmp_path / "in" / "a.jpg")
    summary = convert_folder(tmp_path / "in", target, LABELS)
    assert (outcome(summary), summary.warnings) == ((1, 0, 0), ())


def test_the_distance_that_suffices_for_a_whole_file() -> None:
    """Regression: the distance of the first unlisted colour was suggested, and did not do for the others."""
    labels = LabelMap([Label("a", ((0, 0, 0),)), Label("b", ((50, 0, 0),)), Label("c", ((50, 0, 99),))])
    rgb = np.array([[[1, 0, 0], [54, 0, 0], [0, 0, 2]]], np.uint8)
    with pytest.raises(ValueError, match=r"1 away; add .* or unknown=nearest max_distance=4$"):
        convert_array(rgb, labels)
    assert convert_array(rgb, labels, unknown="nearest", max_distance=4).tolist() == [[0, 1, 0]]
    far = np.concatenate([rgb, np.full((1, 3, 3), 200, np.uint8)])
    between = np.concatenate([rgb, np.array([[[25, 0, 0]] * 3], np.uint8)])
    for image in (far, between):  # a colour that is no rounding error, and one that is as near to two classes
        with pytest.raises(ValueError, match=r"add it to the label map, or use unknown=ignore$"):
            convert_array(image, labels)


# --- run again


def test_only_what_changed_is_done_again(source: Path, target: Path) -> None:
    first = convert_folder(source, target, LABELS)
    counts = (target / "counts.csv").read_bytes()
    again = convert_folder(source, target, LABELS)
    assert outcome(again) == (0, 5, 0)
    assert (again.pixels, again.ignored) == (first.pixels, first.ignored)
    assert (target / "counts.csv").read_bytes() == counts

    os.utime(source / "sub0" / "0.png")  # touched: same content
    save(source / "sub0" / "2.png", picture(77))
    (target / "sub0" / "4.png").unlink()
    (target / "sub1" / "1.png").write_bytes(b"someone else's")
    assert outcome(convert_folder(source, target, LABELS)) == (3, 2, 0)
    np.testing.assert_array_equal(read(target / "sub0" / "2.png"), reference(picture(77)))
    np.testing.assert_array_equal(read(target / "sub1" / "1.png"), reference(picture(1)))
    assert outcome(convert_folder(source, target, LABELS)) == (0, 5, 0)
    assert outcome(convert_folder(source, target, LABELS, overwrite=True)) == (5, 0, 0)
    other = LABELS.ignoring(["sky"])
    assert outcome(convert_folder(source, target, other)) == (5, 0, 0)


def test_torn_last_line(source: Path, target: Path) -> None:
    convert_folder(source, target, LABELS)
    manifest = target / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-9])
    assert outcome(convert_folder(source, target, LABELS)) == (1, 4, 0)
    assert outcome(convert_folder(source, target, LABELS)) == (0, 5, 0)


def test_temporaries_of_dead_processes_are_swept(source: Path, target: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    (target / "sub0").mkdir(parents=True)
    prefix = _preproc.temporary_prefix
    dead = target / "sub0" / f"{prefix}{process.pid}-0.tmp"
    kept = {f"{prefix}{os.getpid()}-9.tmp", f".seg-00000000-{process.pid}-0.tmp", f"{prefix}{process.pid}-0.png"}
    for name in (dead.name, *kept):  # of this process, of another machine, and of another name
        (target / "sub0" / name).touch()
    convert_folder(source, target, LABELS)
    assert {path.name for path in (target / "sub0").glob(".*")} == kept


SLOW = """
import sys, time
from seg.convert import folder
from seg.labels import LabelMap
listed = folder.list_sources
def slowly(*arguments):
    for source in listed(*arguments):
        yield source
        time.sleep(0.01)  # six seconds in all: the signal comes in the middle, however late the test is to send it
folder.list_sources = slowly
folder.convert_folder(sys.argv[1], sys.argv[2], LabelMap.load(sys.argv[3]), threads=2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_stopped_in_the_middle_and_resumed(tmp_path: Path, target: Path, signum: int) -> None:
    for i in range(30):
        save(tmp_path / "in" / f"{i:03}.png", picture(i, 400, 600))
    for i in range(30, 600):
        os.link(tmp_path / "in" / f"{i % 30:03}.png", tmp_path / "in" / f"{i:03}.png")
    LABELS.save(tmp_path / "labels.yaml")
    arguments = [sys.executable, "-c", SLOW, tmp_path / "in", target, tmp_path / "labels.yaml"]
    process = subprocess.Popen(
        arguments, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2], preexec_fn=hear_hangups
    )
    while not (target / "manifest.jsonl").exists() or (target / "manifest.jsonl").stat().st_size < 2000:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.002)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0, errors
    if signum == signal.SIGINT:
        assert "KeyboardInterrupt" in errors
        assert not list(target.rglob("*.tmp"))
    assert not (target / "manifest.json").exists()
    summary = convert_folder(tmp_path / "in", target, LABELS)
    assert summary.failed == 0
    assert summary.skipped > 0
    assert summary.converted + summary.skipped == 600
    for i in range(0, 600, 37):
        np.testing.assert_array_equal(read(target / f"{i:03}.png"), reference(picture(i % 30, 400, 600)))


def test_shards(source: Path, target: Path) -> None:
    parts = [convert_folder(source, target, LABELS, shard=(i, 3)) for i in (1, 2, 3)]
    assert sum(part.converted for part in parts) == 5
    assert {p.name for p in target.glob("*.csv")} == {f"counts.{i}-of-3.csv" for i in (1, 2, 3)}
    assert {p.name for p in target.glob("manifest*.jsonl")} == {f"manifest.{i}-of-3.jsonl" for i in (1, 2, 3)}
    merged = convert_folder(source, target, LABELS)
    assert outcome(merged) == (0, 5, 0)
    assert merged.ignored == sum(part.ignored for part in parts)
    for name in ("road", "sky"):
        assert merged.pixels[name] == sum(part.pixels[name] for part in parts)
        assert merged.images[name] == sum(part.images[name] for part in parts)
    header, *rows = (target / "counts.csv").read_text().splitlines()
    shards = [(target / f"counts.{i}-of-3.csv").read_text().splitlines() for i in (1, 2, 3)]
    assert sorted(rows) == sorted(row for shard in shards for row in shard if row != header)
    for path in target.glob("*.?-of-3.*"):  # the merged manifest stands alone
        path.unlink()
    assert outcome(convert_folder(source, target, LABELS)) == (0, 5, 0)
    save(source / "sub0" / "0.png", picture(8))
    assert outcome(convert_folder(source, target, LABELS)) == (1, 4, 0)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [("**/*", 5), ("*", 0), ("sub0/*", 3), ("**/[13].png", 2), ("*/[!1].png", 4), ("s?b1/**", 2), ("**/3.PNG", 0)],
)
def test_patterns(source: Path, target: Path, pattern: str, found: int) -> None:
    if found:
        assert convert_folder(source, target, LABELS, pattern=pattern).converted == found
    else:
        with pytest.raises(ValueError, match=r"got none under .* that matches '.*'; check source and pattern"):
            convert_folder(source, target, LABELS, pattern=pattern)
        assert not target.exists()


def test_links(source: Path, target: Path, tmp_path: Path) -> None:
    (source / "ring").symlink_to(source)
    save(tmp_path / "elsewhere" / "x.png", picture(3))
    (source / "linked").symlink_to(tmp_path / "elsewhere")
    assert outcome(convert_folder(source, target, LABELS)) == (6, 0, 0)


def test_masks_never_land_on_sources(tmp_path: Path) -> None:
    save(tmp_path / "x" / "x" / "a.png", picture(0))
    kept = save(tmp_path / "x" / "a.png", picture(1)).read_bytes()
    summary = convert_folder(tmp_path / "x", tmp_path, LABELS)
    assert outcome(summary) == (1, 0, 1)
    assert "would lie in the source folder" in summary.failures[0][1]
    assert (tmp_path / "x" / "a.png").read_bytes() == kept


# --- wrong requests


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"source": "missing"},
            "source: expected a folder of label images, got '.*missing', which does not exist; check",
        ),
        ({"source": "source/sub0/0.png"}, "is not a folder"),
        ({"destination": "source"}, "destination: expected a folder outside source, got"),
        ({"destination": "source/sub0/masks"}, "destination: expected a folder outside source.*give another folder"),
        ({"destination": "source.txt"}, "destination: expected a folder that can be made .*, got '.*source.txt'"),
        ({"unknown": "guess"}, "unknown: expected error, ignore or nearest, got 'guess'; choose one of them"),
        ({"unknown": "nearest"}, r"max_distance: expected 0\.\.255 with unknown=nearest, got none"),
        ({"max_distance": 3}, "max_distance: expected only with unknown=nearest, got unknown=error; leave it out"),
        ({"unknown": "nearest", "max_distance": 256}, r"max_distance: expected a whole number from 0 to 255, got 256"),
        (
            {"read": "rgb"},
            "read: expected auto, .* id256, id1000, labelme, coco, .*, labelstudio or yolo, got 'rgb'; choose",
        ),
        ({"max_pixels": 0}, r"max_pixels: expected a whole number from 1 to 1073741824, got 0"),
        ({"max_pixels": 1e6}, r"max_pixels: expected a whole number from 1 to 1073741824, got 1000000.0; give one"),
        ({"max_pixels": 2**31}, r"max_pixels: expected a whole number from 1 to 1073741824, got 2147483648"),
        ({"threads": -1}, r"threads: expected a whole number from 0 to 1024, got -1; give 0 for all cores"),
        ({"threads": 1.5}, r"threads: expected a whole number from 0 to 1024, got 1.5"),
        ({"shard": (0, 4)}, r"shard: expected \(i, n\) with 1 <= i <= n, got \(0, 4\); give"),
    ],
)
def test_wrong_requests(source: Path, target: Path, options: dict[str, Any], reason: str) -> None:
    (source.parent / "source.txt").touch()
    arguments: dict[str, Any] = {"source": source, "destination": target, "labels": LABELS}
    for key, value in options.items():
        arguments[key] = source.parent / value if key in ("source", "destination") else value
    with pytest.raises(ValueError, match=reason):
        convert_folder(**arguments)
    assert not target.exists()


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (
            np.zeros((2, 2, 4), np.uint8),
            r"image: expected H x W x 3 uint8 .* got uint8 of shape \(2, 2, 4\); drop alpha",
        ),
        (np.zeros((2, 2), np.float32), "got float32"),
        (np.zeros((2, 2, 3), np.int64), "got int64"),
        (
            np.full((2, 2), -1),
            r"ids: expected 0\.\.65535, got -1\.\.-1, .* -1 at x=0, y=0; use ignore_values=\[-1\] .*renumber",
        ),
    ],
)
def test_wrong_arrays(image: np.ndarray, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        convert_array(image, LABELS)


def test_heavy_imports_stay_away(source: Path, target: Path, tmp_path: Path) -> None:
    LABELS.save(tmp_path / "labels.yaml")
    program = (
        "import sys; from seg.convert import convert_folder; from seg.labels import LabelMap;"
        "convert_folder(sys.argv[1], sys.argv[2], LabelMap.load(sys.argv[3]));"
        "print([name for name in ('torch', 'cv2', 'numpy') if name in sys.modules])"
    )
    arguments = [sys.executable, "-c", program, source, target, tmp_path / "labels.yaml"]
    run = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert run.stdout == "[]\n"


# --- real and broken files


def test_variants_of_a_real_label(tmp_path: Path, target: Path) -> None:
    folder = SHARED / "robust" / "derived_uuad"
    if not folder.is_dir():
        pytest.skip("the variants are not at ../shared/data/robust")
    colors = {
        (int(value), *map(int, color)): None
        for value, color in _pairs(folder / "plain.png", folder / "plain.png.expected.png")
    }
    labels = LabelMap([Label(str(i), ((r, g, b),)) for i, r, g, b in sorted(colors)])
    expected = json.loads((folder / "manifest.json").read_text())
    for name, about in expected.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / name).symlink_to(folder / name)
        unknown = "ignore" if about["expect"] == "exact+255" else "error"
        summary = convert_folder(tmp_path / name, target / name, labels, unknown=unknown)
        exact = about["expect"].startswith("exact")
        assert outcome(summary) == ((1, 0, 0) if exact else (0, 0, 1)), (name, summary)
        if exact:
            wanted = read(folder / about["expected_mask"])
            np.testing.assert_array_equal(read(target / name / f"{Path(name).stem}.png"), wanted, err_msg=name)


def _pairs(label: Path, mask: Path) -> list[tuple[int, np.ndarray]]:
    rgb, values = cv2.imread(str(label))[..., ::-1].reshape(-1, 3), read(mask).ravel()
    return [(value, rgb[values == value][0]) for value in np.unique(values) if value != 255]
