"""Conformance suites, broken files and label images found in the field, each to its mask or its reason.

The data lie beside a developer's checkout; where they are absent, these tests skip and the same behaviour is tested
on files that tests/convert/test_preproc.py and tests/convert/test_folder.py make.

python -m pytest tests/convert/test_corpus.py
"""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from conftest import SHARED
from PIL import Image

from seg import _preproc
from seg.convert import convert_folder
from seg.convert.summary import Summary
from seg.labels import IGNORE, Label, LabelMap

TRUE_16_BIT = "16-bit colour: expected an 8-bit colour stored wide"
UNKNOWN = "got a damaged or unknown one"


def folder(name: str) -> Path:
    """A data folder, or the test is skipped."""
    path = SHARED / name
    if not path.is_dir():
        pytest.skip(f"../shared/data/{name} is not here")
    return path


def convert(path: Path, tmp_path: Path, labels: LabelMap, **options: Any) -> tuple[np.ndarray | None, str]:
    """One file through convert_folder: its mask, or None and the reason."""
    source = tmp_path / path.stem / "source"
    source.mkdir(parents=True)
    (source / path.name).symlink_to(path)
    summary = convert_folder(source, tmp_path / path.stem / "target", labels, threads=1, **options)
    if summary.failed:
        assert not list((tmp_path / path.stem / "target").glob("*.png"))
        return None, summary.failures[0][1]
    return cv2.imread(str(tmp_path / path.stem / "target" / f"{path.stem}.png"), cv2.IMREAD_UNCHANGED), ""


def by_color(rgb: np.ndarray) -> tuple[LabelMap, np.ndarray]:
    """A label map of an image's commonest colours, and the mask it must give, the others being 255."""
    colors, place, counts = np.unique(rgb.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True)
    chosen = np.argsort(-counts, kind="stable")[:200]
    labels = LabelMap(Label(str(i), (tuple(map(int, colors[c])),)) for i, c in enumerate(chosen))
    index = np.full(len(colors), IGNORE, np.uint8)
    index[chosen] = np.arange(len(chosen))
    return labels, index[place.reshape(-1)].reshape(rgb.shape[:2])


def by_value(ids: np.ndarray) -> tuple[LabelMap, np.ndarray]:
    """The same for values."""
    values, place = np.unique(ids, return_inverse=True)
    labels = LabelMap(Label(str(i), values=(int(value),)) for i, value in enumerate(values[:200]))
    index = np.full(len(values), IGNORE, np.uint8)
    index[:200] = np.arange(len(values[:200]))
    return labels, index[place.reshape(-1)].reshape(ids.shape)


def converts_to(path: Path, tmp_path: Path, labels: LabelMap, wanted: np.ndarray) -> None:
    mask, reason = convert(path, tmp_path, labels, unknown="ignore")
    assert mask is not None, f"{path.name}: {reason}"
    np.testing.assert_array_equal(mask, wanted, err_msg=path.name)


# --- PngSuite: the BMP files beside it are decodings that another project made

BROKEN_ON_PURPOSE = {
    "xs1n0g01": "got one that cannot be decoded",  # the signature is wrong: no PNG file at all
    "xs2n0g01": "got one that cannot be decoded",
    "xs4n0g01": "got one that cannot be decoded",
    "xs7n0g01": "got one that cannot be decoded",
    "xcrn0g04": "got one that cannot be decoded",
    "xlfn0g04": "got one that cannot be decoded",
    "xhdn0g08": "expected the CRC that chunk IHDR states, got another",
    "xc1n0g08": "got colour type 1 with 8 bits",
    "xc9n2c08": "got colour type 9 with 8 bits",
    "xd0n2c08": "got colour type 2 with 0 bits",
    "xd3n2c08": "got colour type 2 with 3 bits",
    "xd9n2c08": "got colour type 2 with 99 bits",
    "xdtn0g01": "expected pixel data (chunk IDAT), got none",
    "xcsn0g01": "expected the CRC that chunk IDAT states, got another",
}


def test_pngsuite_refuses_what_is_broken(tmp_path: Path) -> None:
    files = sorted((folder("pngsuite") / "png").glob("x*.png"))
    assert {path.stem for path in files} == set(BROKEN_ON_PURPOSE)
    labels = LabelMap([Label("a", ((0, 0, 0),), (0,))])
    for path in files:
        mask, reason = convert(path, tmp_path, labels, unknown="ignore")
        assert mask is None
        assert BROKEN_ON_PURPOSE[path.stem] in reason, path.name


def test_pngsuite_converts_to_its_references(tmp_path: Path) -> None:
    compared = Counter[str]()
    for path in sorted((folder("pngsuite") / "png").glob("[!x]*.png")):
        kind, depth = int(path.stem[4]), int(path.stem[6:8])
        if depth == 16 and kind in (2, 6):
            compared[expect_true_16_bit(path, tmp_path)] += 1
        elif depth == 16:
            ids = _preproc.decode(path.read_bytes())[0]
            reference, opaque = bmp(path)
            away = abs(ids / 257 - reference[..., 0])  # the references have 8 bits, rounded in more than one way
            assert away[opaque].max(initial=0) <= 1, path.name
            converts_to(path, tmp_path, *by_value(ids))
            compared["16-bit gray"] += 1
        else:
            reference, opaque = bmp(path)
            labels, wanted = by_color(reference)
            mask, reason = convert(path, tmp_path, labels, unknown="ignore", read="color")
            assert mask is not None, f"{path.name}: {reason}"
            np.testing.assert_array_equal(mask[opaque], wanted[opaque], err_msg=path.name)
            compared["8-bit"] += 1
    assert compared.total() == 161
    assert compared["8-bit"] > 120


def bmp(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The reference as RGB, and where it is opaque: elsewhere it shows a background colour, not the stored one."""
    image = cv2.imread(str(path.parents[1] / "bmp" / f"{path.stem}.bmp"), cv2.IMREAD_UNCHANGED)
    if image.ndim == 2:
        image = image[..., None].repeat(3, axis=2)
    opaque = image[..., 3] == 255 if image.shape[2] == 4 else np.ones(image.shape[:2], bool)
    return image[..., 2::-1], opaque


def expect_true_16_bit(path: Path, tmp_path: Path) -> str:
    """Refused, unless every sample is an 8-bit one stored wide."""
    mask, reason = convert(path, tmp_path, LabelMap([Label("a", ((0, 0, 0),))]), unknown="ignore")
    assert (mask is None and TRUE_16_BIT in reason) or mask is not None
    return "16-bit refused" if mask is None else "16-bit wide"


# --- robust/: files of other projects' test suites; all that is not refused here must be as Pillow reads it

REFUSED = {
    "bmp/V3_A1_R5_G5_B5.bmp": "BMP: expected .* got 16",
    "bmp/V3_A4_R4_G4_B4_Top_Down.bmp": "BMP: expected .* got 16",
    "bmp/V3_X4_R4_G4_B4.bmp": "BMP: expected .* got 16",
    "bmp/V4_R5_G6_B5.bmp": "BMP: expected .* got 16",
    "bmp/rgb16.bmp": "BMP: expected .* got 16",
    "bmp/rgba32-61754.bmp": "BMP: expected channels of 8 bits each",
    "bmp/badpalettesize.bmp": UNKNOWN,
    "bmp/pal8oversizepal.bmp": UNKNOWN,
    "libpng_testpngs/badpal/regression-palette-8.png": "palette indices below 254, .* got 254 ",
    "libpng_testpngs/badpal/small-palette-2.png": "palette indices below 3, .* got 3 ",
    "libpng_testpngs/badpal/small-palette-8.png": "palette indices below 255, .* got 255 ",
    "libpng_testpngs/badpal/test-palette-2.png": "palette indices below 3, .* got 3 ",
    "libpng_testpngs/badpal/test-palette-8.png": "palette indices below 254, .* got 254 ",
    "libpng_testpngs/crashers/badadler.png": "expected pixel data that inflates to what its checksum says",
    "libpng_testpngs/crashers/huge_.*.png": "truncated PNG: expected .* bytes in chunk",
    "libpng_testpngs/rgb-(alpha-)?16.*.png": TRUE_16_BIT,
    "libpng_testpngs/gray-alpha-16.*.png": "16-bit gray level",
    "tiff/12bit.cropped.rgb.tiff": TRUE_16_BIT,
    "tiff/rgb-3c-16b.tiff": TRUE_16_BIT,
    "tiff/cmyk-.*.tiff": "TIFF: expected gray, RGB or a palette",
    "tiff/gradient-1c-64b-float.tiff": "got float64",
    "tiff/gradient-3c-32b.tiff": "got uint32",
    "tiff/predictor-3-rgb-f32.tif": "got float32",
    "tiff/(random|white)-fp16.*.tiff": UNKNOWN,
    "tiff/int16_zstd.tif": UNKNOWN,
    "tiff/minisblack-1c-7b.tiff": UNKNOWN,
    "tiff/minisblack-1c-i8b.tiff": r"ids: expected 0\.\.65535, got -128\.\.102",
}

NOT_READ_BY_PILLOW = {"libpng_testpngs/crashers/empty_ancillary_chunks.png"}  # nor by OpenCV; only ancillary chunks


def test_files_of_other_suites(tmp_path: Path) -> None:
    robust = folder("robust")
    files = [path for kind in ("bmp", "libpng_testpngs", "tiff") for path in sorted((robust / kind).rglob("*.*"))]
    assert len(files) > 100
    for path in files:
        name = path.relative_to(robust).as_posix()
        expected = next((reason for pattern, reason in REFUSED.items() if re.fullmatch(pattern, name)), None)
        if expected:
            mask, reason = convert(path, tmp_path, LabelMap([Label("a", ((0, 0, 0),))]), unknown="ignore")
            assert mask is None, name
            assert re.search(expected, reason), f"{name}: {reason}"
        elif name in NOT_READ_BY_PILLOW:
            assert convert(path, tmp_path, LabelMap([Label("a", ((0, 0, 0),))]), unknown="ignore")[0] is not None
        else:
            converts_to(path, tmp_path, *pillow(path))


def pillow(path: Path) -> tuple[LabelMap, np.ndarray]:
    with Image.open(path) as image:
        if image.mode.startswith("I"):
            return by_value(np.asarray(image).astype(np.int64))
        return by_color(np.asarray(image.convert("RGBA"))[..., :3])


def test_numbers_that_opencv_changes_are_not_read(tmp_path: Path) -> None:
    """OpenCV hands 1-bit numbers out as 0 and 255, and palettes as their colours; Pillow reads those of TIFF."""
    robust = folder("robust")
    values = LabelMap([Label("zero", values=(0,)), Label("one", values=(1,)), Label("border", values=(255,))])
    for name in ("bmp/Core_1_Bit.bmp", "bmp/pal8v5.bmp"):
        mask, reason = convert(robust / name, tmp_path, values, unknown="ignore")
        assert mask is None, name
        assert "expected stored values of 8 or 16 bits" in reason, f"{name}: {reason}"
    assert "got white-is-zero" in convert(robust / "tiff/miniswhite-1c-1b.tiff", tmp_path, values)[1]
    mask, _ = convert(robust / "tiff/fax4.tiff", tmp_path, values)
    with Image.open(robust / "tiff/fax4.tiff") as image:
        np.testing.assert_array_equal(mask, np.asarray(image))


def test_outcomes_were_only_observations() -> None:
    """The list above and the observed behaviour of Pillow and OpenCV speak of the same files."""
    robust = folder("robust")
    seen = set(json.loads((robust / "outcomes.json").read_text()))
    ours = {p.relative_to(robust).as_posix() for p in robust.rglob("*.*") if p.parent != robust}
    assert len(seen & ours) > 100


# --- zoo/: label images as people publish them, with their tables


class Found(NamedTuple):
    """A folder of the zoo and what must become of it; `labels` None: the table in the folder above."""

    where: str
    converted: int
    failed: int = 0
    reason: str = ""
    labels: str | None = None
    options: dict[str, Any] = {}  # noqa: RUF012


ZOO = [
    Found("zoo/connector_inspection/labels", 0, 10, r"colour \(255, 255, 255\) is not .* or use unknown=ignore$"),
    Found("zoo/connector_inspection/labels", 10, options={"unknown": "ignore"}),
    Found("zoo/nuclei/labels", 8),
    Found("zoo/palette_png_4class/labels", 5, 2, r"colour \(0, 0, 128\) is not .* or use unknown=ignore$"),
    Found("zoo/palette_png_4class/labels", 7, options={"unknown": "ignore"}),
    Found("zoo/rcar_lane/labels", 16),
    Found("zoo/rellis_sparse_ids/labels", 1),
    Found("zoo/slag_1080p/labels", 0, 7, r"unknown=nearest max_distance=2$"),
    Found("zoo/slag_1080p/labels", 0, 7, "max_distance=2$", options={"unknown": "nearest", "max_distance": 1}),
    Found("zoo/slag_1080p/labels", 7, options={"unknown": "nearest", "max_distance": 2}),
    Found("zoo/suim_bmp/labels", 4),
    Found("zoo/table_object_rgba/labels", 6),
    Found("zoo/cityscapes_ids/labelIds", 3, labels="cityscapes"),
    Found("zoo/cityscapes_ids/instanceIds_16bit", 0, 3, r"value 260\d\d is not in the label map", labels="cityscapes"),
    Found("zoo/voc_palette_labelme/labels", 3, labels="voc"),
    Found("zoo/voc_palette_labelme/labels", 3, labels="voc", options={"read": "index"}),
    Found("zoo_misc/ade20k", 1, labels="ade20k", options={"pattern": "*_index.png"}),
    Found("zoo_misc/ade20k", 0, 1, "got values only", labels="ade20k", options={"pattern": "*_seg.png"}),
    Found("zoo_misc/coco_panoptic", 0, 1, r"colour \(4, 37, 136\) .* 10 unlisted colours", labels="voc"),
    Found("zoo_misc/davis_palette_metadata", 2, labels="voc"),
    Found("zoo_misc/davis_palette_metadata", 2, labels="voc", options={"read": "index"}),
]


def test_ade20k_classes_coded_in_colours(tmp_path: Path) -> None:
    """The coded image agrees with the index image that was made of it, at a third of its size."""
    where = folder("zoo_misc/ade20k")
    coded = np.asarray(Image.open(where / "ADE_train_00000001_seg.png").convert("RGB")).astype(int)
    index = np.asarray(Image.open(where / "ADE_train_00000001_index.png"))[:, :682]
    numbers = (coded[..., 0] // 10 * 256 + coded[..., 1])[1::3, 1::3][:, :682]
    commonest = {int(v): Counter(numbers[index == v].tolist()).most_common(1)[0][0] for v in np.unique(index) if v}
    labels = LabelMap(Label(str(value), values=(number,)) for value, number in commonest.items())
    summary = convert_folder(where, tmp_path, labels, pattern="*_seg.png", read="ade20k", unknown="ignore")
    assert (summary.converted, summary.failed) == (1, 0)
    mask = np.asarray(Image.open(tmp_path / "ADE_train_00000001_seg.png"))[1::3, 1::3][:, :682]
    named = np.array([*commonest, *[0] * (256 - len(commonest))])[mask]
    np.testing.assert_array_equal(named == 0, ~np.isin(numbers, list(commonest.values())))
    assert (named == index).mean() > 0.98  # the rest are borders, where one pixel stands for nine


def test_class_and_instance_of_cityscapes(tmp_path: Path) -> None:
    """What ``*_instanceIds.png`` codes is what ``*_labelIds.png`` holds, in files that others wrote."""
    where, labels = folder("zoo/cityscapes_ids"), LabelMap.load("cityscapes")
    masks = []
    for inner, read in (("labelIds", "auto"), ("instanceIds_16bit", "id1000")):
        summary = convert_folder(where / inner, tmp_path / read, labels, read=read, threads=1)
        assert (summary.converted, summary.failed) == (3, 0), summary.failures
        masks.append([np.asarray(Image.open(path)) for path in sorted((tmp_path / read).glob("*.png"))])
    for mask, coded in zip(*masks, strict=True):
        np.testing.assert_array_equal(mask, coded)


def of_the_zoo(found: Found, target: Path) -> Summary:
    source = folder(found.where)
    tables = [source.parent / name for name in ("class_dict.csv", "palette.yaml")]
    labels = LabelMap.load(found.labels or next(table for table in tables if table.exists()))
    return convert_folder(source, target, labels, threads=1, **found.options)


@pytest.mark.parametrize("found", ZOO, ids=[f"{i}-{found.where.split('/')[1]}" for i, found in enumerate(ZOO)])
def test_label_images_found_in_the_field(found: Found, tmp_path: Path) -> None:
    summary = of_the_zoo(found, tmp_path)
    assert (summary.converted, summary.failed) == (found.converted, found.failed), summary.failures
    for _, reason in summary.failures:
        assert re.search(found.reason, reason), reason


def test_sparse_ids_by_value_and_by_color(tmp_path: Path) -> None:
    """The stored index is the class in VOC's files, so both ways of reading must agree."""
    labels = LabelMap.load("voc")
    masks = {}
    for read in ("color", "index"):
        convert_folder(folder("zoo/voc_palette_labelme/labels"), tmp_path / read, labels, read=read, threads=1)
        masks[read] = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted((tmp_path / read).glob("*.png"))]
    for a, b in zip(masks["color"], masks["index"], strict=True):
        np.testing.assert_array_equal(a, b)
