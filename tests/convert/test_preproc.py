"""The C++ helper against slow references written here: PNG in every form, tables, masks, the thread pool."""

import itertools
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seg import _preproc

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
FORMS = [(kind, depth) for kind, depths in DEPTHS.items() for depth in depths]
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(name: bytes, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def filtered(row: np.ndarray, above: np.ndarray, step: int, kind: int) -> bytes:
    """One row of bytes under one of PNG's filters, straight from the specification."""
    left = np.concatenate([np.zeros(step, int), row[: row.size - step]])[: row.size]
    corner = np.concatenate([np.zeros(step, int), above[: row.size - step]])[: row.size]
    distances = np.stack([abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)])
    paeth = np.choose(distances.argmin(0), [left, above, corner])
    prediction = [np.zeros_like(row), left, above, (left + above) // 2, paeth][kind]
    return bytes([kind]) + ((row - prediction) % 256).astype(np.uint8).tobytes()


def rows_of(samples: np.ndarray, depth: int, filters: Iterator[int]) -> bytes:
    """samples (H, W, C) as filtered rows."""
    if depth == 16:
        packed = samples.astype(">u2").reshape(len(samples), -1).view(np.uint8)
    else:
        bits = np.unpackbits(samples.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
        packed = np.packbits(bits.reshape(len(samples), -1), axis=1)
    step = max(1, samples.shape[2] * depth // 8)
    above = np.zeros(packed.shape[1], int)
    out = b""
    for row in packed.astype(int):
        out += filtered(row, above, step, next(filters))
        above = row
    return out


def png(
    samples: np.ndarray,
    kind: int,
    depth: int,
    palette: list[tuple[int, int, int]] | None = None,
    *,
    interlaced: bool = False,
    filters: Iterator[int] | None = None,
    pieces: int = 1,
) -> bytes:
    """A PNG file from samples (H, W, C) of any colour type and bit depth."""
    filters = filters or itertools.cycle(range(5))
    if interlaced:
        parts = [samples[y::dy, x::dx] for x, y, dx, dy in PASSES]
        raw = b"".join(rows_of(part, depth, filters) for part in parts if part.size)
    else:
        raw = rows_of(samples, depth, filters)
    data = zlib.compress(raw)
    cuts = [len(data) * i // pieces for i in range(pieces + 1)]
    height, width, _ = samples.shape
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    body = chunk(b"PLTE", bytes(c for color in palette for c in color)) if palette else b""
    body += b"".join(chunk(b"IDAT", data[a:b]) for a, b in itertools.pairwise(cuts))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"gAMA", b"\0\0\0\1") + body + chunk(b"IEND")


def random_samples(rng: np.random.Generator, height: int, width: int, kind: int, depth: int) -> np.ndarray:
    """Blocks of few values, as label images have them; 16-bit colour holds 8-bit values stored wide."""
    few = rng.integers(0, 1 << min(depth, 8), (4, CHANNELS[kind]))
    few = few * 257 if depth == 16 and kind in (2, 6) else few
    if rng.random() < 0.3:
        return few[rng.integers(0, 4, (height, width))]
    return few[rng.integers(0, 4, (height // 7 + 1, width // 7 + 1)).repeat(7, 0).repeat(7, 1)[:height, :width]]


@given(
    form=st.sampled_from(FORMS),
    size=st.tuples(st.integers(1, 40), st.integers(1, 90)),
    interlaced=st.booleans(),
    filters=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    pieces=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=300, deadline=None)
def test_decode_every_form(
    form: tuple[int, int], size: tuple[int, int], interlaced: bool, filters: list[int], pieces: int, seed: int
) -> None:
    kind, depth = form
    rng = np.random.default_rng(seed)
    samples = random_samples(rng, *size, kind, depth)
    palette = [tuple(map(int, c)) for c in rng.integers(0, 256, (1 << depth, 3))] if kind == 3 else None
    file = png(samples, kind, depth, palette, interlaced=interlaced, filters=itertools.cycle(filters), pieces=pieces)
    decoded, read_palette = _preproc.decode(file)
    wanted = samples[..., :3] if kind in (2, 6) else samples[..., 0]
    np.testing.assert_array_equal(decoded, wanted // 257 if depth == 16 and kind in (2, 6) else wanted)
    assert read_palette == palette
    table = _preproc.Table([((1, 2, 3), 0)], [(7, 3)])  # the fused way of a file = the plain way of its pixels
    report = _preproc.map_array(decoded.astype(decoded.dtype.newbyteorder("=")), table, unknown="ignore")
    if kind != 3:
        _, counts, unknown = convert_bytes(file, table, unknown="ignore")
        assert counts == report[1]
        for part in (slice(7), slice(8, None)):  # between them the pixels of alpha 0, which `decode` drops
            assert (unknown or ())[part] == (report[2] or ())[part]


def convert_bytes(file: bytes, table: _preproc.Table, **options: Any) -> tuple[Any, ...]:
    """Through convert_files, as files are."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.png").write_bytes(file)
        (result,) = _preproc.convert_files([(f"{folder}/a.png", f"{folder}/m.png")], table, **options)
        if result.status == "failed":
            raise ValueError(result.reason)
        mask = cv2.imread(f"{folder}/m.png", cv2.IMREAD_UNCHANGED)
        return mask, result.counts, result.unknown


def label_rows(rng: np.random.Generator, width: int, channels: int) -> np.ndarray:
    """Rows as label images have them: of one colour, as the row above, with a few changes, and of noise."""
    few = rng.integers(0, 256, (3, channels))
    rows = [few[rng.integers(0, 3, width)]]
    for kind in rng.permutation(np.arange(5).repeat(2)):
        row = rows[-1].copy()
        if kind == 0:
            row[:] = few[rng.integers(3)]
        elif kind in (1, 2):
            start, stop = sorted(rng.integers(0, width + 1, 2))
            row[start:stop] = few[rng.integers(3)]
        elif kind == 3:
            row = rng.integers(0, 256, row.shape)
        rows.append(row)  # of kind 4 as the one above
    return np.stack(rows)


@pytest.mark.parametrize("kind", [0, 2, 4, 6])
@pytest.mark.parametrize("filters", [(0,), (1,), (2,), (3,), (4,), (1, 2, 4, 3, 0), (2, 2, 1, 4, 4, 0, 3, 3)])
def test_every_filter_at_every_width(kind: int, filters: tuple[int, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(kind)
    table = _preproc.Table([((1, 2, 3), 0)], [(value, value % 7) for value in range(256)])
    source, mask, again = (tmp_path / name for name in ("source.png", "mask.png", "again.png"))
    for width in range(1, 71):
        samples = label_rows(rng, width, CHANNELS[kind])
        source.write_bytes(png(samples, kind, 8, filters=itertools.cycle(filters)))
        decoded, _ = _preproc.decode(source.read_bytes())
        np.testing.assert_array_equal(decoded, samples[..., :3] if kind in (2, 6) else samples[..., 0])
        (result,) = _preproc.convert_files([(source, mask)], table, unknown="ignore")
        stored = samples.astype(np.uint8)
        plain, counts, *_ = _preproc.map_array(stored if kind else stored[..., 0], table, unknown="ignore")
        assert result.counts == counts
        np.testing.assert_array_equal(cv2.imread(str(mask), cv2.IMREAD_UNCHANGED), plain)
        _preproc.write_mask(again, plain)  # which is given the pixels, not the runs
        assert again.read_bytes() == mask.read_bytes()


def test_refuses_what_would_lose_bits() -> None:
    with pytest.raises(
        ValueError, match="expected an 8-bit colour stored wide .* got 258, .*; save the label with 8 bits"
    ):
        _preproc.decode(png(np.full((2, 2, 3), 258), 2, 16))
    table = _preproc.Table([((1, 1, 1), 4)], [])
    assert convert_bytes(png(np.full((2, 2, 1), 257), 0, 16), table)[0].tolist() == [[4, 4], [4, 4]]
    with pytest.raises(ValueError, match="16-bit gray level: expected .* multiple of 257.*, got 258 at x=0, y=0"):
        convert_bytes(png(np.full((2, 2, 1), 258), 0, 16), table)


def test_palette_index_beyond_palette() -> None:
    file = png(np.full((2, 2, 1), 3), 3, 2, [(1, 1, 1), (2, 2, 2)])
    with pytest.raises(ValueError, match="expected palette indices below 2, .* got 3 at x=0, y=0"):
        convert_bytes(file, _preproc.Table([((1, 1, 1), 0)], []))
    assert convert_bytes(file, _preproc.Table([], [(3, 9)]))[1] == {9: 4}


SMALL = png(np.arange(48).reshape(4, 4, 3), 2, 8)


def test_every_truncation_is_an_error() -> None:
    for size in range(len(SMALL)):
        with pytest.raises(ValueError, match=r"truncated PNG: expected|expected a PNG file"):
            _preproc.decode(SMALL[:size])


def test_no_flipped_bit_goes_unseen() -> None:
    wanted = _preproc.decode(SMALL)[0].tolist()
    for position, bit in itertools.product(range(len(SMALL)), range(8)):
        file = bytearray(SMALL)
        file[position] ^= 1 << bit
        with suppress(ValueError):
            assert _preproc.decode(bytes(file))[0].tolist() == wanted  # an ancillary chunk


def body(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


HEADER = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
DATA = chunk(b"IDAT", zlib.compress(b"\0\7"))
END = chunk(b"IEND")


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"GIF89a", "expected a PNG file, got one without its signature; convert it"),
        (body(HEADER, END), r"expected pixel data .chunk IDAT., got none; copy or export the file again"),
        (body(HEADER, DATA), "truncated PNG: expected chunk IEND, got the end of the file; copy"),
        (body(DATA, HEADER, END), r"expected a header .* of 13 bytes. first, got chunk IDAT of 10 bytes"),
        (body(HEADER, HEADER, DATA, END), "expected .* critical chunks after the header, got IHDR; export"),
        (body(HEADER, chunk(b"ABCD"), DATA, END), "expected .* critical chunks after the header, got ABCD; export"),
        (
            body(HEADER, DATA, chunk(b"tEXt"), DATA, END),
            "expected consecutive IDAT chunks, got another chunk between two",
        ),
        (
            body(HEADER, chunk(b"IDAT", zlib.compress(b"\0")), END),
            "expected pixel data for every row, got an end before the last row",
        ),
        (
            body(HEADER, chunk(b"IDAT", zlib.compress(b"\0\7\7")), END),
            "expected pixel data for every row, got more than the header says",
        ),
        (body(HEADER, chunk(b"IDAT", zlib.compress(b"\5\7")), END), r"expected row filters 0\.\.4, got 5"),
        (
            body(HEADER, chunk(b"IDAT", zlib.compress(b"\0\7")[:-1] + b"\0"), END),
            "expected pixel data that inflates to what its checksum says",
        ),
        (body(HEADER, chunk(b"IDAT", b"junk"), END), "expected pixel data that inflates"),
        (
            body(HEADER, DATA[:-1] + b"\0", END),
            "expected the CRC that chunk IDAT states, got another; copy or export the file again",
        ),
        (
            body(chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 1, 8, 0, 0, 0, 0)), DATA, END),
            "in the header, got 0 x 1 pixels",
        ),
        (
            body(chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 3, 0, 0, 0, 0)), DATA, END),
            "got colour type 0 with 3 bits",
        ),
        (
            body(chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 3, 0, 0, 0)), DATA, END),
            r"expected a palette .chunk PLTE. for colour type 3, got none",
        ),
        (
            body(chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 2)), DATA, END),
            "methods 0, 0 and 0..1, got 0, 0 and 2",
        ),
        (
            body(chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)), DATA, END),
            "too large: expected at most .* got 60000 x",
        ),
        (
            body(chunk(b"IHDR", struct.pack(">IIBBBBB", 9999, 9999, 16, 6, 0, 0, 0)), DATA, END),
            "got an end before the last row",
        ),
    ],
)
def test_broken_files_say_why(file: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        _preproc.decode(file)


def test_pngsuite() -> None:
    files = sorted((SHARED / "pngsuite" / "png").glob("*.png"))
    if not files:
        pytest.skip("PngSuite is not at ../shared/data/pngsuite")
    for path in files:
        file = path.read_bytes()
        if path.name.startswith("x"):
            with pytest.raises(ValueError, match=r"PNG"):
                _preproc.decode(file)
            continue
        kind, depth = int(path.stem[4]), int(path.stem[6:8])
        if depth == 16 and kind in (2, 6):
            continue  # true 16-bit colour: refused, see above
        decoded, palette = _preproc.decode(file)
        with Image.open(path) as image:
            if (kind, depth) == (0, 16):
                wanted = np.asarray(image)
            else:
                wanted = np.asarray(image.convert("RGBA"))[..., :3]
                decoded = shown(decoded, palette, depth)
            np.testing.assert_array_equal(decoded, wanted, err_msg=path.name)


def shown(samples: np.ndarray, palette: Any, depth: int) -> np.ndarray:
    """Samples as 8-bit RGB, as a viewer shows them."""
    if palette:
        return np.array(palette, np.uint8)[samples]
    if samples.ndim == 3:
        return samples
    level = samples >> 8 if depth == 16 else samples.astype(int) * 255 // (2**depth - 1)
    return np.repeat(level[..., None], 3, axis=2).astype(np.uint8)


# --- tables and mapping


def reference_map(image: np.ndarray, table: dict[Any, int], far: int | None) -> tuple[np.ndarray, set[Any]]:
    """Pixel by pixel: the mask (255 for unknown) and the unknown keys."""
    mask = np.full(image.shape[:2], 255, np.uint8)
    unknown = set()
    for y, x in np.ndindex(*mask.shape):
        key = tuple(map(int, image[y, x])) if image.ndim == 3 else int(image[y, x])
        label = table.get(key)
        if label is None and far is not None and image.ndim == 3:
            ranked = [
                (max(abs(a - b) for a, b in zip(key, color, strict=True)),
                 sum((a - b) ** 2 for a, b in zip(key, color, strict=True)), index)
                for color, index in table.items()
            ]  # fmt: skip
            best = min(ranked)[:2]
            labels = {index for *distance, index in ranked if tuple(distance) == best}
            label = labels.pop() if best[0] <= far and len(labels) == 1 else None
        if label is None:
            unknown.add(key)
        else:
            mask[y, x] = label
    return mask, unknown


levels = st.integers(0, 12) | st.integers(0, 255)
colors = st.tuples(levels, levels, levels)


@given(
    table=st.dictionaries(colors, st.integers(0, 255), min_size=1, max_size=30),
    others=st.lists(colors, max_size=6),
    far=st.none() | st.integers(0, 40) | st.just(255),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_map_colors(table: dict[Any, int], others: list[Any], far: int | None, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pool = np.array([*table, *others], np.uint8)
    image = pool[rng.integers(0, len(pool), (6, 9))].repeat(rng.integers(1, 6), 1)
    check_mapping(image, _preproc.Table(list(table.items()), []), table, far)


@given(
    table=st.dictionaries(st.integers(0, 65535), st.integers(0, 255), min_size=1, max_size=30),
    others=st.lists(st.integers(0, 65535), max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=100, deadline=None)
def test_map_values(table: dict[Any, int], others: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    pool = np.array([*table, *others], np.uint16)
    image = pool[rng.integers(0, len(pool), (6, 40))]
    check_mapping(image, _preproc.Table([], list(table.items())), table, None)
    check_mapping((image % 256).astype(np.uint8), _preproc.Table([], list(table.items())), table, None)


def check_mapping(image: np.ndarray, table: _preproc.Table, listed: dict[Any, int], far: int | None) -> None:
    wanted, unknown = reference_map(image, listed, far)
    options: dict[str, Any] = {"unknown": "error" if far is None else "nearest", "max_distance": far}
    mask, counts, report, *_ = _preproc.map_array(image, table, **options)
    np.testing.assert_array_equal(mask, wanted)
    values, pixels = np.unique(wanted, return_counts=True)
    assert counts == dict(zip(values.tolist(), pixels.tolist(), strict=True))
    keys = [tuple(map(int, p)) if image.ndim == 3 else int(p) for p in image.reshape(-1, *image.shape[2:])]
    at = [i for i, key in enumerate(keys) if key in unknown]
    if at:
        y, x = divmod(at[0], image.shape[1])
        assert report[:6] == (len(at), len(unknown), keys[at[0]], x, y, reference_reach(unknown, listed))
        assert image.ndim == 2 or report[8] == np.array([*unknown]).max()
    else:
        assert report is None
    mirrored, *_ = _preproc.map_array(image[::-1, ::-1], table, **options)  # strides below zero
    np.testing.assert_array_equal(mirrored, wanted[::-1, ::-1])
    if image.ndim == 3:
        swapped, *_ = _preproc.map_array(image[..., ::-1].copy()[..., ::-1], table, **options)
        np.testing.assert_array_equal(swapped, wanted)


def reference_reach(unknown: set[Any], listed: dict[Any, int]) -> int | None:
    """The least max_distance that answers for all of them."""
    if not all(isinstance(key, tuple) for key in unknown):
        return None
    if reference_map(np.array([sorted(unknown)], np.uint8), listed, 255)[1]:
        return None
    return max(min(max(abs(a - b) for a, b in zip(key, color, strict=True)) for color in listed) for key in unknown)


def test_nearest_never_guesses_a_tie() -> None:
    table = _preproc.Table([((0, 0, 0), 0), ((4, 0, 0), 1), ((0, 0, 4), 0)], [])
    image = np.array([[[2, 0, 0], [2, 0, 2], [1, 0, 0], [0, 0, 2]]], np.uint8)
    mask, _, unknown, *_ = _preproc.map_array(image, table, unknown="nearest", max_distance=255)
    assert mask.tolist() == [[255, 255, 0, 0]]
    assert unknown == (2, 2, (2, 0, 0), 0, 0, None, -1, 0, 2)


def test_read_rules() -> None:
    gray, wide = png(np.full((1, 1, 1), 1), 0, 1), png(np.full((1, 1, 1), 300), 0, 16)
    palette, rgb = png(np.full((1, 1, 1), 1), 3, 1, [(0, 0, 0), (9, 8, 7)]), png(np.full((1, 1, 3), 5), 2, 8)
    both = _preproc.Table([((9, 8, 7), 1), ((255,) * 3, 2), ((5, 5, 5), 3)], [(1, 11), (300, 12)])
    by_color, by_value = _preproc.Table([((9, 8, 7), 1), ((255,) * 3, 2)], []), _preproc.Table([], [(1, 11)])

    def value(file: bytes, table: _preproc.Table, read: str = "auto") -> int:
        return int(convert_bytes(file, table, read=read)[0][0, 0])

    assert [value(file, both) for file in (gray, wide, palette, rgb)] == [11, 12, 1, 3]
    assert [value(file, both, "color") for file in (gray, palette, rgb)] == [2, 1, 3]
    assert [value(file, both, "index") for file in (gray, palette)] == [11, 11]
    assert [value(file, by_color) for file in (gray, palette)] == [2, 1]
    assert [value(file, by_value) for file in (gray, palette)] == [11, 11]
    for file, table, read, reason in (
        (
            png(np.array([[[5, 5, 6]]]), 2, 8),
            both,
            "index",
            "expected an image with one channel, or with three equal ones, got colour 5, 5, 6 at x=0",
        ),
        (rgb, by_value, "auto", "got values only; add the classes' colours"),
        (gray, by_value, "color", "expected colours .* for a grayscale image, got values only; use .*read=index"),
        (palette, by_color, "index", "expected values .* for a palette image, got colours only; .*add values"),
    ):
        with pytest.raises(ValueError, match=reason):
            value(file, table, read)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: _preproc.Table([], []), "label map: expected colours or values, got neither; list one"),
        (lambda: _preproc.Table([((0, 0, 256), 1)], []), r"channel: expected 0\.\.255, got 256; choose"),
        (lambda: _preproc.Table([((0, 0, 0), 256)], []), r"class: expected 0\.\.255, got 256"),
        (lambda: _preproc.Table([], [(65536, 1)]), r"value: expected 0\.\.65535, got 65536"),
        (
            lambda: _preproc.Table([((1, 2, 3), 0), ((1, 2, 3), 1)], []),
            r"colour \(1, 2, 3\): expected one class, got two \(0 and 1\); list",
        ),
        (
            lambda: _preproc.Table([], [(1, 0), (1, 1)]),
            r"value 1: expected one class, got two \(0 and 1\); list it once",
        ),
        (lambda: _preproc.map_array(np.zeros((2, 2, 5), np.uint8), TABLE), r"got uint8 of shape \(2, 2, 5\); convert"),
        (lambda: _preproc.convert_files([], TABLE, transparent="x"), "transparent: expected keep or ignore, got 'x'"),
        (lambda: _preproc.map_array(np.zeros((2, 2), np.int64), TABLE), "expected H x W x 3 uint8, .* got int64"),
        (lambda: _preproc.convert_files([], TABLE, threads=0), r"threads: expected 1\.\.1024, got 0"),
        (
            lambda: _preproc.convert_files([], TABLE, unknown="x"),
            "unknown: expected error, ignore or nearest, got 'x'; choose",
        ),
        (
            lambda: _preproc.convert_files([], TABLE, unknown="nearest"),
            r"max_distance: expected 0\.\.255 .* got none; say",
        ),
        (
            lambda: _preproc.convert_files([], TABLE, max_distance=1),
            "max_distance: expected only with unknown=nearest, got unknown=error; leave",
        ),
        (
            lambda: _preproc.convert_files([], TABLE, read="rgb"),
            "read: expected auto, color, index, ade20k, red, id256 or id1000, got 'rgb'; choose",
        ),
        (lambda: _preproc.convert_files([], TABLE, max_pixels=0), r"max_pixels: expected 1\.\.2\*\*30, got 0"),
        (
            lambda: _preproc.write_mask("x", np.zeros((0, 3), np.uint8)),
            r"mask: expected H x W uint8 .* got uint8 of shape \(0, 3\)",
        ),
    ],
)
def test_wrong_requests(call: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        call()


# --- masks


TABLE = _preproc.Table([((0, 0, 0), 0), ((255, 255, 255), 1)], [])


@given(seed=st.integers(0, 2**32 - 1), size=st.tuples(st.integers(1, 60), st.integers(1, 700)), few=st.booleans())
@settings(max_examples=80, deadline=None)
def test_masks_read_back(tmp_path_factory: pytest.TempPathFactory, seed: int, size: Any, few: bool) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 3 if few else 256, size).astype(np.uint8)
    if rng.random() < 0.7:
        mask = np.sort(mask, axis=int(rng.integers(0, 2)))
    read_back(tmp_path_factory.getbasetemp() / "m.png", mask)


def read_back(path: Path, mask: np.ndarray) -> None:
    _preproc.write_mask(path, mask)
    np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), mask)
    with Image.open(path) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), mask)
    np.testing.assert_array_equal(_preproc.decode(path.read_bytes())[0], mask)


@pytest.mark.parametrize("kind", ["noise", "flat", "fibonacci"])
def test_large_masks_read_back(tmp_path: Path, kind: str) -> None:
    if kind == "noise":  # several deflate blocks
        mask = np.random.default_rng(0).integers(0, 256, (900, 1000)).astype(np.uint8)
    elif kind == "flat":  # runs longer than any match
        mask = np.full((3, 100_000), 200, np.uint8)
    else:  # frequencies that make the optimal Huffman code deeper than the 15 bits that deflate allows
        counts = [1, 1]
        while len(counts) < 24:
            counts.append(counts[-1] + counts[-2])
        values = np.repeat(np.arange(24), counts)
        np.random.default_rng(0).shuffle(values)
        mask = np.cumsum(values[: len(values) // 8 * 8].reshape(8, -1), axis=0).astype(np.uint8)
    read_back(tmp_path / "m.png", mask)


def test_write_mask_is_atomic(tmp_path: Path) -> None:
    (tmp_path / "there.png").mkdir()
    with pytest.raises(OSError, match="cannot write the mask: Is a directory"):
        _preproc.write_mask(tmp_path / "there.png", np.zeros((2, 2), np.uint8))
    assert [p.name for p in tmp_path.iterdir()] == ["there.png"]
    _preproc.write_mask(tmp_path / "a" / "b" / "m.png", np.zeros((2, 2), np.uint8))
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["m.png"]


# --- the thread pool


def write_sources(folder: Path, count: int) -> list[tuple[Path, Path]]:
    folder.mkdir()
    for i in range(count):
        image = np.zeros((2 + i % 5, 40, 3), np.uint8)
        image[:, i % 40 :] = 255
        cv2.imwrite(str(folder / f"{i}.png"), image)
    return [(folder / f"{i}.png", folder.parent / "out" / f"{i}.png") for i in range(count)]


@pytest.mark.parametrize("threads", [1, 4])
def test_results_keep_the_order(tmp_path: Path, threads: int) -> None:
    jobs: list[Any] = write_sources(tmp_path / "in", 300)
    jobs[7] = (None, None, "passed through")
    jobs[8] = (tmp_path / "missing.png", tmp_path / "out" / "8.png")
    (tmp_path / "text.png").write_text("text")
    jobs[9] = (str(tmp_path / "text.png"), bytes(tmp_path / "out" / "9.png"))
    results = list(_preproc.convert_files(jobs, TABLE, threads=threads))
    assert [result.job for result in results] == jobs
    assert [r.status for r in results[:10]] == ["converted"] * 7 + ["skipped", "failed", "unsupported"]
    assert results[8].reason == "cannot read the file: No such file or directory"
    assert (results[9].crc, results[9].size) == (zlib.crc32(b"text"), 4)
    source = jobs[3][0]
    assert (results[3].width, results[3].height, results[3].counts) == (40, 5, {0: 15, 1: 185})
    assert results[3].crc == zlib.crc32(source.read_bytes())
    assert (results[3].size, results[3].mtime_ns) == (source.stat().st_size, source.stat().st_mtime_ns)


def test_jobs_are_pulled_as_needed_by_the_calling_thread(tmp_path: Path) -> None:
    jobs = write_sources(tmp_path / "in", 1)
    pulled = 0

    def endless() -> Iterator[Any]:
        nonlocal pulled
        while True:
            assert threading.current_thread() is threading.main_thread()
            pulled += 1
            yield jobs[0]

    conversion = _preproc.convert_files(endless(), TABLE, threads=2)
    for done, _ in enumerate(itertools.islice(conversion, 300), start=1):
        assert pulled <= done + 2 * 64
    conversion.close()
    assert next(conversion, None) is None
    conversion.close()


def test_error_of_the_iterator_comes_after_the_results(tmp_path: Path) -> None:
    jobs = write_sources(tmp_path / "in", 3)

    def broken() -> Iterator[Any]:
        yield from jobs
        raise KeyError("listing")

    conversion = _preproc.convert_files(broken(), TABLE, threads=2)
    assert [next(conversion).status for _ in jobs] == ["converted"] * 3
    with pytest.raises(KeyError, match="listing"):
        next(conversion)
    assert list(conversion) == []


def test_a_failed_source_leaves_no_older_mask(tmp_path: Path) -> None:
    ((source, mask),) = write_sources(tmp_path / "in", 1)
    assert [r.status for r in _preproc.convert_files([(source, mask)], TABLE)] == ["converted"]
    assert mask.exists()
    cv2.imwrite(str(source), np.full((2, 2, 3), 7, np.uint8))
    (result,) = _preproc.convert_files([(source, mask)], TABLE)
    assert (result.status, result.unknown) == ("unknown", (4, 1, (7, 7, 7), 0, 0, 7, 7, 0, 7))
    assert list(mask.parent.iterdir()) == []


def test_dropped_half_way(tmp_path: Path) -> None:
    conversion = _preproc.convert_files(write_sources(tmp_path / "in", 200), TABLE, threads=2)
    next(conversion)
    del conversion  # stops and joins the workers
    assert not list((tmp_path / "out").glob(".*"))
