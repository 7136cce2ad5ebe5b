"""Pictures that share pixels, scenes and sequences in two splits: found by the audit and said by the training, and no
wrong alarms.

python -m pytest tests/audit/test_overlaps.py
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import LABELS, SHARED, Script, fails, scene, train_options

from seg.audit import Audit, Split, audit
from seg.audit.anchors import anchors_of, shifts
from seg.audit.records import Finding
from seg.data.pairs import split, torn_scenes

SIDE, STEP = 512, 448
PARTS = [("images", ""), ("masks", "_labels")]
CHECKS = {"shared-pixels", "overlap", "torn-scene", "torn-sequence"}


def picture(seed: int, height: int = 960, width: int = 960) -> np.ndarray:
    """Blobs of all sizes with grain, as photographs have them; BGR."""
    rng = np.random.default_rng(seed)
    image = rng.normal(120, 3, (height, width, 3))
    for cells in (4, 16, 64):
        coarse = rng.normal(0, 25, (cells, cells, 3))
        image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return image.clip(0, 255).astype(np.uint8)


def put(folder: Path, name: str, image: np.ndarray, suffix: str = ".png") -> None:
    """An image, and a mask of all classes where it is large enough."""
    for kind, pixels, ending in (("images", image, suffix), ("masks", np.resize(scene(0)[1], image.shape[:2]), ".png")):
        path = folder / kind / f"{name}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels)
    LABELS.save(folder / "masks" / "labels.yaml")


def look(root: Path, *parts: str, **options: Any) -> Audit:
    parts = parts or ("train", "val")
    return audit([Split(part, root / part / "images", root / part / "masks") for part in parts], LABELS, **options)


def findings(result: Audit) -> dict[str, Finding]:
    return {finding.check: finding for finding in result.findings if finding.check in CHECKS}


def folders(root: Path, *parts: str) -> list[str]:
    return [f"data.{part}.{kind}={root / part / kind}" for part in parts for kind in ("images", "masks")]


def audited(script: Script, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code, and the findings of ``audit.json`` by check."""
    done = script("seg-audit", *arguments, destination="audit", json="true")
    assert done.stdout, done.stderr
    return done.returncode, {found["check"]: found for found in json.loads(done.stdout)["findings"]}


def seen_twice(places: list[tuple[str, int, int]], train: list[bool], side: int) -> float:
    """The reference: share of the validation tiles' pixels that lie in a training tile, by counting."""
    scenes: dict[str, np.ndarray] = {}
    for (name, y, x), is_train in zip(places, train, strict=True):
        plane = scenes.setdefault(name, np.zeros((2000, 2000), bool))
        plane[y : y + side, x : x + side] |= is_train
    shares = [
        scenes[name][y : y + side, x : x + side].mean()
        for (name, y, x), is_train in zip(places, train, strict=True)
        if not is_train
    ]
    return float(np.mean(shares))


@pytest.mark.slow
def test_overlapping_tiles_in_both_splits(tmp_path: Path, script: Script) -> None:
    """``tile=512 overlap=64``, the tiles moved into one folder, and the seeded split of all of them."""
    places = [(f"p{i}", y, x) for i in range(4) for y in (0, STEP, 500) for x in (0, STEP, 500)]
    images = {f"p{i}": picture(i, 1012, 1012) for i in range(4)}
    for name, y, x in places:
        put(tmp_path / "all", f"{name}-{y}-{x}", images[name][y : y + SIDE, x : x + SIDE])
    arguments = [f"data.train.{kind}={tmp_path / 'all' / kind}" for kind in ("images", "masks")]
    names = sorted(f"{name}-{y}-{x}" for name, y, x in places)
    train, _ = split(names, 0.2, 0)
    expected = seen_twice(places, [f"{name}-{y}-{x}" in train for name, y, x in places], SIDE)
    code, found = audited(script, *arguments)
    shared = found["shared-pixels"]
    assert (code, shared["severity"], shared["split"]) == (1, "error", "train, val")
    assert f"tiles or crops: {100 * expected:.1f} %, in 7 of 7 images" in shared["text"]
    assert all(Path(file).exists() for example in shared["examples"] for file in example["files"])
    assert "Pixels of val that are also in train" in (tmp_path / "audit/audit.html").read_text()
    fails(script("seg-audit", *arguments, destination="audit"), 1, "1 error found in the data; audit/audit.html shows")
    code, found = audited(script, *arguments, "data.group=^(.*?)-")
    assert (code, CHECKS & found.keys()) == (0, set())
    code, found = audited(script, *(a.replace("data.train.", "") for a in arguments))
    assert (code, found["overlap"]["severity"], found["overlap"]["count"]) == (0, "note", 32)
    code, found = audited(script, *(a.replace("data.train.", "") for a in arguments), "data.group=^(.*?)-")
    assert (code, CHECKS & found.keys()) == (0, set())


@pytest.mark.parametrize("shift", [(448, 0), (0, 448), (448, 448), (448, -448), (-448, -448), (100, 37), (0, 1)])
def test_every_overlap_of_64_pixels_is_found(shift: tuple[int, int], tmp_path: Path) -> None:
    down, right = shift
    for seed in range(3):
        for part, y, x in (("train", max(-down, 0), max(-right, 0)), ("val", max(down, 0), max(right, 0))):
            put(tmp_path / part, f"{part}{seed}", picture(seed)[y : y + SIDE, x : x + SIDE])
    (found,) = findings(look(tmp_path)).values()
    share = 100 * (SIDE - abs(down)) * (SIDE - abs(right)) / SIDE**2
    assert (found.check, found.severity) == ("shared-pixels", "error")
    assert f"tiles or crops: {share:.{2 if share < 10 else 1}f} %, in 3 of 3 images" in found.text


def gray(image: np.ndarray) -> np.ndarray:
    return image[..., 1]


def with_alpha(image: np.ndarray) -> np.ndarray:
    return np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])


def with_logo(image: np.ndarray) -> np.ndarray:
    image = image.copy()
    image[20:60, 20:90] = picture(77, 40, 70)
    return image


@pytest.mark.parametrize(
    ("change", "suffix", "share"),
    [
        (lambda image: image, ".bmp", 25.0),
        (lambda image: image, ".tiff", 25.0),
        (with_alpha, ".png", 25.0),
        (lambda image: image.astype(np.uint16) * 257, ".png", 25.0),
        (gray, ".png", 25.0),
        (with_logo, ".png", 25 - 100 * (40 * 70) / SIDE**2),
    ],
)
def test_pixels_decide_and_not_how_they_are_stored(
    change: Callable[[np.ndarray], np.ndarray], suffix: str, share: float, tmp_path: Path
) -> None:
    """Another format or depth; a logo on every tile hides no more than what it covers."""
    alike = change if change in (gray, with_logo) else (lambda image: image)
    put(tmp_path / "train", "a", alike(picture(0)[:SIDE, :SIDE]))
    put(tmp_path / "val", "b", change(picture(0)[256:768, 256:768]), suffix)
    (found,) = findings(look(tmp_path)).values()
    assert f"tiles or crops: {share:.1f} %, in 1 of 1" in found.text


def test_jpeg_tiles_are_equal_where_their_blocks_are(tmp_path: Path) -> None:
    """A step of a multiple of 16 pixels, such as 448, cuts the same blocks; any other step leaves no equal pixels."""
    for part, x in (("train", 0), ("val", 256), ("test", 250)):
        put(tmp_path / part, part, picture(0)[:SIDE, x : x + SIDE], ".jpg")
    found = findings(look(tmp_path, "train", "val"))
    assert 49 < float(found["shared-pixels"].text.split(": ")[1].split(" %")[0]) <= 50
    assert not findings(look(tmp_path, "train", "test"))


def test_crops_of_a_whole_picture(tmp_path: Path) -> None:
    """Of other sizes, at its corner too, where nothing is shifted."""
    put(tmp_path / "train", "whole", picture(0))
    for number, (y, x) in enumerate([(0, 0), (300, 500)]):
        put(tmp_path / "val", f"crop{number}", picture(0)[y : y + 200, x : x + 300])
    put(tmp_path / "val", "other", picture(1, 200, 300))
    (found,) = findings(look(tmp_path)).values()
    assert "tiles or crops: 66.7 %, in 2 of 3 images" in found.text
    assert [example.detail for example in found.examples] == ["100 % of its pixels"] * 2


def test_many_crops_of_one_picture_in_little_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = picture(0)
    for number in range(60):
        y, x = rng.integers(0, 960 - 256, 2)
        put(tmp_path / ("val" if number % 4 == 0 else "train"), f"c{number}", whole[y : y + 256, x : x + 256])
    (found,) = findings(look(tmp_path)).values()
    assert "in 15 of 15 images" in found.text


def bordered(seed: int) -> np.ndarray:
    """A letterbox, whose bars are of any height."""
    return cv2.copyMakeBorder(picture(seed, 200 + 20 * (seed % 3), 320), 10 + 7 * seed, 40, 16, 0, cv2.BORDER_CONSTANT)


def stamped(seed: int) -> np.ndarray:
    """The same textured logo anywhere, and a line of text."""
    image = picture(seed, 256, 320)
    y, x = np.random.default_rng(seed).integers(0, 200, 2)
    image[y : y + 32, x : x + 100] = picture(77, 32, 100)
    return np.asarray(cv2.putText(image, "CAMERA 3 2024", (5 + seed, 250), 0, 0.5, (255, 255, 255), 1))


def page(seed: int) -> np.ndarray:
    """Words in one font on white."""
    rng = np.random.default_rng(seed)
    image = np.full((256, 320), 255, np.uint8)
    for y in range(14, 256, 15):
        cv2.putText(image, " ".join(rng.choice(["tree", "road", "house", "sky", "lake"], 7)), (4, y), 0, 0.4, 0, 1, 16)
    return image


def drawing(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = np.full((256, 320, 3), 90, np.uint8)
    for _ in range(40):
        x, y, size = rng.integers(0, 256, 3).tolist()
        color = [(250, 60, 60), (60, 250, 60), (30, 30, 200)][size % 3]
        cv2.circle(image, (x, y), 4 + size % 9, color, -1) if size % 2 else cv2.rectangle(
            image, (x, y), (x + 9, y + size // 8), color, -1
        )
    return image


ALARMS: dict[str, Callable[[int], np.ndarray]] = {
    "other pictures": lambda seed: picture(seed, 256, 320),
    "letterbox": bordered,
    "logo": stamped,
    "text": page,
    "drawing": drawing,
    "one pattern": lambda seed: np.roll(np.tile(picture(9, 16, 16), (16, 20, 1)), (seed % 5, 3 * seed), (0, 1)),
    "dark": lambda seed: np.random.default_rng(seed).poisson(0.2, (256, 320)).clip(0, 3).astype(np.uint8),
    "two levels": lambda seed: np.random.default_rng(seed).integers(0, 2, (256, 320)).astype(np.uint8) * 255,
    "gradient": lambda seed: (np.arange(256)[:, None] // (1 + seed % 2) + np.arange(320) + seed).astype(np.uint8),
    "flat": lambda seed: np.full((256, 320, 3), 10 * seed, np.uint8),
    "tiny": lambda seed: picture(seed, 6, 9),
}  # fmt: skip


@pytest.mark.parametrize("kind", ALARMS)
def test_no_wrong_alarm(kind: str, tmp_path: Path) -> None:
    for seed in range(16):
        put(tmp_path / ("val" if seed % 4 == 0 else "train"), f"s{seed}", ALARMS[kind](seed))
    assert not findings(look(tmp_path))


def test_remembered_pictures_overlap_as_before(tmp_path: Path) -> None:
    for part, y in (("train", 0), ("val", 300)):
        put(tmp_path / part, part, picture(0)[y : y + SIDE, :SIDE])
    for path in tmp_path.rglob("*.png"):
        os.utime(path, (1e9, 1e9))
    assert look(tmp_path).to_dict() == look(tmp_path).to_dict()
    assert findings(look(tmp_path)).keys() == {"shared-pixels"}


def test_anchors_follow_the_pixels() -> None:
    """A window has its anchor wherever it lies: those of a crop are those of the picture, as far as both keep them."""
    whole = picture(3)
    crop = np.ascontiguousarray(whole[100:612, 200:712])
    places = {}
    for name, image in (("whole", whole), ("crop", crop)):
        anchors = anchors_of(image)
        y, x = np.divmod(anchors[:, 1].astype(int), image.shape[1])
        places[name] = dict(zip(anchors[:, 0].tolist(), zip(y.tolist(), x.tolist(), strict=True), strict=True))
    assert all(len(found) == 1024 for found in places.values())
    inside = {h: (y - 100, x - 200) for h, (y, x) in places["whole"].items() if 100 <= y <= 604 and 200 <= x <= 704}
    assert len(inside) > 200
    assert sum(places["crop"].get(code) == place for code, place in inside.items()) == len(inside)
    assert anchors_of(np.zeros((64, 64, 3), np.uint8)).shape == anchors_of(whole[:7]).shape == (0, 2)
    assert anchors_of(whole[..., :1]).shape == anchors_of(np.dstack([whole, whole])).shape == (1024, 2)


def test_shifts_within_one_list(tmp_path: Path) -> None:
    """Each pair once, by the place in the list."""
    for number, y in enumerate((0, 100, 300)):
        put(tmp_path / "train", f"s{number}", picture(0)[y : y + SIDE, :SIDE])
    (pairs,) = look(tmp_path, "train").pairs
    found = [(one.second.name, one.first.name, one.down, one.right) for group in shifts(pairs, pairs) for one in group]
    assert found == [("s1", "s0", 100, 0), ("s2", "s0", 300, 0), ("s2", "s1", 200, 0)]


def test_torn_scenes() -> None:
    tiles = [f"t/a/a_00000_{x:05}" for x in (0, 448)]
    assert torn_scenes(tiles[:1], tiles[1:]) == {"t/a": ([0], [0])}
    assert torn_scenes(tiles, tiles[1:]) == {}  # pictures of one name, or copies: pixels tell
    assert torn_scenes(["001", "002"], ["001", "003"]) == {}
    assert torn_scenes(["d1_1", "d2_1", "d1_2"], ["d3_1", "d1_3"], "^(.*)_") == {"d1": ([0, 2], [1])}
    with pytest.raises(
        ValueError, match=r"data.group: expected '.*' to find a scene in every name, got none in 1 of 3"
    ):
        torn_scenes(["d1_1", "d1_2"], ["x"], "^(.*)_")


@pytest.mark.parametrize(
    ("names", "torn"),
    [
        (["P1_0_0", "P1_0_448", "P1_448_0"], True),
        (["x/P-1-00000-00000", "x/P-1-00000-00512", "x/P-1-00512-00000"], True),
        (["strip_0_0", "strip_0_64", "strip_0_128"], True),
        (["IMG_20200101_120000", "IMG_20200101_120100", "IMG_20200102_120000"], False),  # day and time
        (["aachen_000000_000019", "aachen_000001_000019", "aachen_000002_000019"], False),  # sequence and frame
        (["la_000_0000", "la_001_0000", "la_002_0000"], False),  # case and channel
        (["case_0_0", "case_0_40", "case_1_0"], False),  # case and slice
        (["a_0_0", "b_0_448", "c_448_0"], False),
    ],
)
def test_tiles_in_one_folder(names: list[str], torn: bool) -> None:
    assert bool(torn_scenes(names[:2], names[2:])) == torn


def write_torn(root: Path) -> None:
    """JPEG tiles of four scenes, no pixel twice; the parts share the first two, one of which lies beside others."""
    for number in range(4):
        whole = picture(number, 96, 192)
        for x in (0, 96):
            part = "val" if number == 3 or (number < 2 and x) else "train"
            name = f"s{number}_0_{x}" if number == 1 else f"s{number}/s{number}_00000_{x:05}"
            put(root / part, name, whole[:, x : x + 96], ".jpg")


@pytest.mark.slow
def test_scenes_in_both_parts_are_said(tmp_path: Path, script: Script) -> None:
    """By the audit and by the training; folders and list files alike."""
    write_torn(tmp_path)
    code, found = audited(script, *folders(tmp_path, "train", "val"))
    torn = found["torn-scene"]
    assert (code, torn["severity"], torn["split"], torn["count"]) == (0, "warning", "train, val", 2)
    assert torn["examples"][0]["detail"] == "'s0': 1 in train, 1 in val"
    options = [*train_options(tmp_path), "fit.epochs=1"]
    done = script("seg-train", *options, name="folders")
    assert done.returncode == 0, done.stderr
    message = "scenes with pairs in both parts: 2, such as 's0' with 1 for training and 1 for validation: scores will"
    assert message in " ".join((done.stdout + done.stderr).split())

    for kind in ("images", "masks"):
        shutil.copytree(tmp_path / "val" / kind, tmp_path / "all" / kind)
        shutil.copytree(tmp_path / "train" / kind, tmp_path / "all" / kind, dirs_exist_ok=True)
    for part in ("train", "val"):
        listed = sorted(path.relative_to(tmp_path / part / "images") for path in (tmp_path / part).rglob("*.jpg"))
        (tmp_path / f"{part}.txt").write_text("".join(f"{path}\n" for path in listed))
    lists = [f"data.{part}.list={tmp_path / part}.txt" for part in ("train", "val")]
    both = [option.replace("data.all", "data.train") for option in folders(tmp_path, "all")]
    code, found = audited(script, *both, *lists)
    assert (code, found["torn-scene"]["count"]) == (0, 2)
    small = [o for o in options if not o.startswith("data.")]
    done = script("seg-train", *both, *lists, *small, name="lists")
    assert message in " ".join((done.stdout + done.stderr).split()), done.stderr
    fails(
        script("seg-train", *both, *lists, *small, "data.group=(x)", name="bad"),
        2,
        "data.group: expected '.x.' to find",
    )
    fails(
        script("seg-audit", *both, *lists, "data.group=(x)", destination="a"), 2, "data.group: expected '.x.' to find"
    )


def test_a_seeded_split_that_tears_scenes_is_said(tmp_path: Path, script: Script) -> None:
    for number in range(3):
        for x in (0, 96, 192):
            put(tmp_path / "train", f"s{number}_0_{x}", picture(number, 96, 288)[:, x : x + 96])
    options = [option for option in train_options(tmp_path) if "data.val" not in option]
    done = script("seg-train", *options, "fit.epochs=1", name="torn")
    message = (
        r"both parts: \d, such as 's\d' with \d for training and \d for validation: .* data.group says what a scene"
    )
    assert re.search(message, " ".join(done.stderr.split())), done.stderr
    done = script("seg-train", *options, "fit.epochs=1", "data.group=^(.*?)_", name="whole")
    assert (done.returncode, "both parts" in done.stderr) == (0, False), done.stderr


def test_scenes_in_one_part_are_not_said(tmp_path: Path, script: Script) -> None:
    """Nor are other pictures whose tiles have the same names."""
    for part, seed in (("train", 0), ("val", 5)):
        for number in (seed, seed + 1):
            for x in (0, 96):
                tile = picture(number, 96, 192)[:, x : x + 96]
                put(tmp_path / part, f"s{number - seed}/s{number - seed}_00000_{x:05}", tile)
    code, found = audited(script, *folders(tmp_path, "train", "val"))
    assert (code, CHECKS & found.keys()) == (0, set())
    done = script("seg-train", *train_options(tmp_path), "fit.epochs=1", name="apart")
    assert (done.returncode, "both parts" in done.stdout + done.stderr) == (0, False), done.stderr


def film(seed: int, frames: int) -> list[np.ndarray]:
    """Frames that move over a picture by a fortieth of their width, each with noise of its own."""
    rng = np.random.default_rng(seed)
    whole = picture(seed, 120, 160 + 4 * frames).astype(float)
    moving = [whole[:, 4 * i : 4 * i + 160] for i in range(frames)]
    return [(frame + rng.normal(0, 3, frame.shape)).clip(0, 255).astype(np.uint8) for frame in moving]


def test_frames_of_a_video_in_both_splits(tmp_path: Path, script: Script) -> None:
    for seed in range(3):
        for i, image in enumerate(film(seed, 16)):
            put(tmp_path / ("val" if i % 4 == 2 else "train"), f"drive{seed}_{30 * i:06}", image, ".jpg")
    code, found = audited(script, *folders(tmp_path, "train", "val"))
    torn = found["torn-sequence"]
    assert (code, torn["severity"], torn["split"]) == (0, "warning", "train, val")
    assert torn["text"].startswith("images of val that look like their neighbour by number in train: ")
    numbers = [[int(Path(file).stem[-6:]) for file in example["files"]] for example in torn["examples"]]
    assert all(abs(a - b) == 30 for files in numbers for a, b in pairwise(files))


def test_numbers_alone_are_no_video(tmp_path: Path) -> None:
    """Pictures that are numbered, alike or not; and a video whose end is the validation part."""
    one = picture(50, 120, 160) // 2
    for i in range(24):
        put(tmp_path / ("val" if i % 4 == 2 else "train"), f"other{i:03}", picture(i, 120, 160))
        put(tmp_path / ("val" if i % 4 == 2 else "train"), f"alike{i:03}", one + picture(100 + i, 120, 160) // 3)
    assert not findings(look(tmp_path))
    shutil.rmtree(tmp_path / "train")
    shutil.rmtree(tmp_path / "val")
    for i, image in enumerate(film(0, 40)):
        put(tmp_path / ("val" if i >= 30 else "train"), f"drive_{30 * i:06}", image, ".jpg")
    assert not findings(look(tmp_path))


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data: real sets are not here")
@pytest.mark.parametrize(("folder", "torn"), [("uuad", "shared-pixels"), ("camvid12", "torn-sequence")])
def test_real_sets(folder: str, torn: str, tmp_path: Path, script: Script) -> None:
    """The published parts of both sets are apart. A random split is not: neighbouring tiles of the first share a third
    of their pixels, and frames of the second are a second apart."""
    root = SHARED / folder
    parts = [f"data.{p}.{kind}={root / p}{end}" for p in ("train", "val") for kind, end in PARTS]
    labels = f"labels={root / 'class_dict.csv'}"
    assert not CHECKS & audited(script, *parts, labels)[1].keys()
    code, found = audited(script, *parts[:2], labels)
    assert (code, CHECKS & found.keys()) == (int(torn == "shared-pixels"), {torn})
    if folder == "uuad":
        above, below = root / "train/jp22_1.10_0.png", root / "train/jp22_1.10_3.png"
        assert (cv2.imread(str(above))[171:] == cv2.imread(str(below))[:85]).all()
        assert [str(below), str(above)] in [example["files"] for example in found[torn]["examples"]]
