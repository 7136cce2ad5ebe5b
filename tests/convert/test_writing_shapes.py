"""Regions, run lengths and outlines, against pycocotools, OpenCV and what the tools write themselves.

python -m pytest tests/convert/test_writing_shapes.py
"""

from itertools import groupby

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from seg.convert.outlines import fill_edges, find_outlines, join
from seg.convert.regions import Regions, find_regions
from seg.convert.runs import box_counts, brush, brushed, coco_counts, drawn


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    """Small masks of three classes and 255, from blank to noise."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shares = draw(
        st.sampled_from([(1, 0, 0, 0), (0, 0, 0, 1), (0.5, 0.2, 0.1, 0.2), (0.9, 0.1, 0, 0), (0.2, 0, 0, 0.8)])
    )
    return rng.choice(np.array([0, 1, 2, 255], np.uint8), (rng.integers(1, 13), rng.integers(1, 13)), p=shares)


def whole(regions: Regions, number: int) -> np.ndarray:
    left, top, width, height = regions.boxes[number]
    pixels = np.zeros(regions.shape, bool)
    pixels[top : top + height, left : left + width] = regions.pixels(number)
    return pixels


@settings(deadline=None, max_examples=60)
@given(masks(), st.booleans())
def test_regions_are_the_components(mask: np.ndarray, columns: bool) -> None:
    regions = find_regions(mask, columns=columns)
    covered = np.zeros(mask.shape, int)
    for number, value in enumerate(regions.classes):
        pixels = whole(regions, number)
        assert (mask[pixels] == value).all()
        assert cv2.connectedComponents(pixels.astype(np.uint8), connectivity=4)[0] == 2
        rows, across = pixels.any(1).nonzero()[0], pixels.any(0).nonzero()[0]
        box = [across[0], rows[0], np.ptp(across) + 1, np.ptp(rows) + 1]
        assert (regions.boxes[number].tolist(), regions.areas[number]) == (box, pixels.sum())
        covered += pixels
    assert (covered == (mask != 255)).all()
    wanted = sum(cv2.connectedComponents((mask == v).astype(np.uint8), connectivity=4)[0] - 1 for v in (0, 1, 2))
    assert len(regions.classes) == wanted


def test_regions_of_objects() -> None:
    """An object is one region wherever its pixels are, in each class; pixels without a number are divided."""
    mask = np.array([[0, 1, 0], [0, 1, 0]], np.uint8)
    numbers = np.array([[7, 0, 7], [0, 7, 0]], np.uint16)
    regions = find_regions(mask, numbers)
    found = [(v, o, whole(regions, n).astype(int).tolist()) for n, (v, o) in enumerate(zip(*regions[:2], strict=True))]
    assert found == [
        (0, 7, [[1, 0, 1], [0, 0, 0]]),
        (1, 0, [[0, 1, 0], [0, 0, 0]]),
        (0, 0, [[0, 0, 0], [1, 0, 0]]),
        (1, 7, [[0, 0, 0], [0, 1, 0]]),
        (0, 0, [[0, 0, 0], [0, 0, 1]]),
    ]
    assert find_regions(mask, without=0).classes.tolist() == [1]
    with pytest.raises(ValueError, match="expected the numbers of the objects at 3 x 2 pixels, .*, got 2 x 2"):
        find_regions(mask, numbers[:, :2])


@settings(deadline=None, max_examples=60)
@given(masks())
def test_run_lengths_of_coco_are_those_of_pycocotools(mask: np.ndarray) -> None:
    regions = find_regions(mask, columns=True)
    for number, text in enumerate(coco_counts(regions)):
        pixels = whole(regions, number)
        assert text == coco.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"].decode()


def test_long_run_lengths_of_coco() -> None:
    """Several characters a number, and negative differences."""
    mask = np.full((1000, 800), 255, np.uint8)
    mask[3:990, ::2] = 0
    mask[500] = 0
    (text,) = coco_counts(find_regions(mask, columns=True))
    assert text == coco.encode(np.asfortranarray((mask == 0).astype(np.uint8)))["counts"].decode()


@settings(deadline=None, max_examples=60)
@given(masks())
def test_run_lengths_in_a_box(mask: np.ndarray) -> None:
    regions = find_regions(mask)
    for number, counts in enumerate(box_counts(regions)):
        pixels = regions.pixels(number)
        runs = [(bool(inside), len([*run])) for inside, run in groupby(pixels.ravel())]
        assert counts == [0] * runs[0][0] + [length for _, length in runs]
        assert (drawn(np.array(counts), pixels.shape) == pixels).all()


def test_a_brush_as_the_tool_packs_it() -> None:
    """By hand: 32 bits for 16 values, 5 for words of 8 bits, 4 x 4 for the lengths, then the runs."""
    mask = np.array([[255, 0], [255, 255]], np.uint8)
    bits = f"{16:032b}" + f"{7:05b}" + "".join(f"{n - 1:04b}" for n in (3, 4, 8, 16))
    bits += "1" + "00" + f"{3:03b}" + f"{0:08b}"  # a run, its length in 3 bits, 4 values, 0
    bits += "1" + "00" + f"{3:03b}" + f"{255:08b}"
    bits += "1" + "00" + f"{7:03b}" + f"{0:08b}"
    bits += "0" * (8 - len(bits) % 8)
    (rle,) = brush(find_regions(mask))
    assert rle == [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


@settings(deadline=None, max_examples=40)
@given(masks())
def test_brushes_come_back(mask: np.ndarray) -> None:
    mask = np.kron(mask, np.ones((1, 9), np.uint8))  # runs of all four kinds
    regions = find_regions(mask)
    for number, rle in enumerate(brush(regions)):
        assert (brushed(bytes(rle), mask.shape) == whole(regions, number)).all()


def test_a_large_brush_comes_back() -> None:
    mask = np.full((300, 400), 255, np.uint8)  # 480,000 values: more than a run of 16 bits
    mask[200, 7] = 0
    (rle,) = brush(find_regions(mask))
    assert (brushed(bytes(rle), mask.shape) == (mask == 0)).all()


def test_a_brush_with_values_one_by_one() -> None:
    """As the tool itself packs what was painted with soft edges."""
    bits = f"{8:032b}" + f"{7:05b}" + "".join(f"{n - 1:04b}" for n in (3, 4, 8, 16))
    bits += "0" + "00" + f"{7:03b}" + "".join(f"{value:08b}" for value in (1, 2, 3, 0, 1, 2, 3, 128))
    bits += "0" * (-len(bits) % 8)
    data = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    assert brushed(data, (1, 2)).tolist() == [[False, True]]
    for wrong, shape in ((data[:-2], (1, 2)), (data, (2, 2)), (b"", (1, 2)), (b"\xff" * 40, (1, 2))):
        with pytest.raises(ValueError, match="rle: expected the brush of . x . pixels, got damaged numbers"):
            brushed(wrong, shape)


@settings(deadline=None, max_examples=150)
@given(masks())
def test_outlines_fill_to_the_same_pixels(mask: np.ndarray) -> None:
    pixels = mask == 0
    height, width = pixels.shape
    edges = find_outlines(pixels, "edges")
    assert (fill_edges(edges, pixels.shape) == pixels).all()
    rings = [join(outline) for outline in edges]
    if rings:
        packed = coco.merge(coco.frPyObjects([ring.ravel().tolist() for ring in rings], height, width))
        assert packed["counts"] == coco.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"]
    canvas = np.zeros(pixels.shape, np.uint8)
    for outline in find_outlines(pixels, "centres"):
        cv2.fillPoly(canvas, [join(outline).astype(np.int32)], (1,))
    assert (canvas == pixels).all()


@settings(deadline=None, max_examples=80)
@given(masks())
def test_rings_meet_no_corner_twice(mask: np.ndarray) -> None:
    """Else they were no polygons to geographic tools."""
    for outer, holes in find_outlines(mask == 0, "edges"):
        for ring in (outer, *holes):
            assert len(np.unique(ring, axis=0)) == len(ring)


def test_the_outline_of_a_ring() -> None:
    pixels = np.ones((3, 3), bool)
    pixels[1, 1] = False
    ((outer, (hole,)),) = find_outlines(pixels, "edges")
    assert outer.tolist() == [[0, 0], [3, 0], [3, 3], [0, 3]]
    assert hole.tolist() == [[1, 1], [2, 1], [2, 2], [1, 2]]
    ring = join(find_outlines(pixels, "edges")[0]).tolist()
    assert ring == [[0, 0], [3, 0], [3, 3], [0, 3], [0, 1], [1, 1], [2, 1], [2, 2], [1, 2], [1, 1], [0, 1]]


@pytest.mark.parametrize("tolerance", [1.0, 3.0])
def test_tolerance_bounds_how_far_an_outline_moves(tolerance: float) -> None:
    noise = cv2.GaussianBlur(np.random.default_rng(3).normal(size=(90, 120)), (0, 0), 4)
    pixels = noise > 0
    exact, simple = (find_outlines(pixels, "edges", size) for size in (0.0, tolerance))
    assert sum(len(outline.outer) for outline in simple) < sum(len(outline.outer) for outline in exact)
    filled = fill_edges(simple, pixels.shape)
    moved = filled != pixels
    border = np.zeros(pixels.shape, bool)
    border[:, 1:] |= pixels[:, 1:] != pixels[:, :-1]
    border[1:] |= pixels[1:] != pixels[:-1]
    away = cv2.distanceTransform((~border).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    assert moved.any()
    assert away[moved].max() <= tolerance + 1.5
