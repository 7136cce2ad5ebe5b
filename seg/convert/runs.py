"""Run lengths of regions as annotation tools write them: COCO's text, CVAT's numbers, Label Studio's bits; and back.

Sources: ``rleToString`` of cocoapi's maskApi.c; CVAT's XML format 1.1 (``mask``: run lengths of the pixels in the box,
row by row, from those outside on); ``rle-pack`` of thi.ng/umbrella, which Label Studio's brush is stored with.
"""

import numpy as np
from numpy.typing import NDArray

from seg.convert.regions import Regions

_WORD, _SIZES = 8, (3, 4, 8, 16)  # bits of a value, and of the lengths among which a run of a brush chooses
_CHANNELS = 4  # a brush is stored as red, green, blue and alpha, all alike
_MOST = 1 << _SIZES[-1]


def coco_counts(regions: Regions) -> list[str]:
    """Return the compressed run lengths of each region, as pycocotools writes them.

    Args:
        regions: found with ``columns``.
    """
    counts, many = _counts(regions, regions.starts, regions.stops, np.prod(regions.shape))
    place = np.arange(len(counts)) - np.repeat(np.cumsum(many) - many, many)
    rest = counts.copy()
    later = np.flatnonzero(place > 2)
    rest[later] -= counts[later - 2]
    texts: list[NDArray[np.uint8]] = []
    more = np.ones(len(rest), bool)
    used = []
    while more.any():  # five bits a character, the lowest first; bit 5 says that another follows
        used.append(more)
        low = rest & 31
        rest = rest >> 5
        more = more & (rest != np.where(low & 16, -1, 0))
        texts.append((low + 32 * more + 48).astype(np.uint8))
    if not texts:
        return []
    written = np.stack(used, 1)
    text = np.stack(texts, 1)[written].tobytes().decode("ascii")
    ends = np.cumsum(written.sum(1))[np.cumsum(many) - 1].tolist()
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def box_counts(regions: Regions) -> list[list[int]]:
    """Return the run lengths of each region within its box, row by row, beginning with the pixels outside.

    Args:
        regions: found without ``columns``.
    """
    rows, places = np.divmod(regions.starts, regions.line)
    left, top, width = regions.boxes[regions.of_run, :3].T
    starts = (rows - top) * width + places - left
    stops = starts + regions.stops - regions.starts
    counts, many = _counts(regions, starts, stops, regions.boxes[:, 2] * regions.boxes[:, 3])
    return [part.tolist() for part in np.split(counts, np.cumsum(many)[:-1])] if len(many) else []


def brush(regions: Regions) -> list[list[int]]:
    """Return the bytes of each region as a brush of Label Studio: 255 within it, 0 outside.

    Args:
        regions: found without ``columns``.
    """
    counts, many = _counts(regions, regions.starts, regions.stops, np.prod(regions.shape))
    made, start = [], 0
    for length in many.tolist():
        made.append(_packed(counts[start : start + length] * _CHANNELS, regions.shape).tolist())
        start += length
    return made


def brushed(data: bytes, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels (H, W) of a brush: those of which alpha is not 0.

    Raises:
        ValueError: damaged, or of another size.
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    text = bits.tobytes().translate(bytes([48, 49]) + bytes(254)).decode("ascii")
    size = shape[0] * shape[1] * _CHANNELS
    out = np.zeros(size, np.uint8)
    try:
        values, word = int(text[:32], 2), int(text[32:37], 2) + 1
        sizes = [int(text[at : at + 4], 2) + 1 for at in (37, 41, 45, 49)]
        if values != size or word != _WORD:
            raise ValueError
        at, place = 53, 0
        while place < size:
            bits_of = sizes[int(text[at + 1 : at + 3], 2)]
            run, length = text[at] == "1", int(text[at + 3 : at + 3 + bits_of], 2) + 1
            at += 3 + bits_of
            many = _WORD * (1 if run else length)
            part = np.packbits(bits[at : at + many])
            if len(part) * _WORD != many or place + length > size:
                raise ValueError
            out[place : place + length] = part
            at, place = at + many, place + length
    except (ValueError, IndexError):
        raise ValueError(
            f"rle: expected the brush of {shape[1]} x {shape[0]} pixels, got damaged numbers, or of another size; "
            "export it again"
        ) from None
    return out[_CHANNELS - 1 :: _CHANNELS].reshape(shape) > 0


def drawn(counts: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels (H, W) of run lengths that go row by row and begin with those outside."""
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(shape)


def _counts(
    regions: Regions, starts: NDArray[np.intp], stops: NDArray[np.intp], total: NDArray[np.intp] | np.intp
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the lengths outside and inside by turns of all regions, one after the other, and how many each has.

    Runs that touch, at the end of a line, are one. A length of 0 stands at the beginning alone.

    Args:
        total: pixels of the picture, or of each region's.
    """
    of_run = regions.of_run
    touch = np.zeros(len(starts), bool)
    touch[1:] = (starts[1:] == stops[:-1]) & (of_run[1:] == of_run[:-1])
    starts, stops = starts[~touch], stops[np.append(~touch[1:], True)[: len(stops)]]
    of_run = of_run[~touch]
    many = np.bincount(of_run, minlength=len(regions.classes))
    bounds = np.zeros(2 * (len(starts) + len(many)), np.intp)
    at = 2 * (np.arange(len(starts)) + of_run) + 1
    bounds[at], bounds[at + 1] = starts, stops
    ends = 2 * np.cumsum(many + 1) - 1
    bounds[ends] = total
    counts = np.diff(bounds, append=0)
    keep = np.ones(len(counts), bool)
    keep[ends] = False  # from the end of one region to the beginning of the next
    empty = counts[ends - 1] == 0
    keep[(ends - 1)[empty]] = False
    return counts[keep], 2 * many + 1 - empty


def _packed(lengths: NDArray[np.intp], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the bytes of a brush of these lengths outside and inside by turns."""
    values = np.where(np.arange(len(lengths)) % 2, 255, 0)
    whole = np.maximum(lengths - 1, 0) // _MOST  # runs of the greatest length before the last one
    parts = np.where(lengths > 0, whole + 1, 0)
    values = np.repeat(values, parts)
    length = np.full(len(values), _MOST)
    last = np.cumsum(parts)[parts > 0] - 1
    length[last] = (lengths - whole * _MOST)[parts > 0]
    kind = np.searchsorted([1 << size for size in _SIZES], length)  # the shortest that holds it
    size = np.array(_SIZES)[kind]
    # flag of a run, kind of its length, length - 1, value: at most 27 bits, the highest first
    code = ((4 | kind) << (size + _WORD)) | ((length - 1) << _WORD) | values
    many = 3 + size + _WORD
    # left-aligned in four bytes, of which each run keeps its first bits
    rows = np.unpackbits((code << (32 - many)).astype(">u4").view(np.uint8).reshape(-1, 4), axis=1)
    bits = rows[np.arange(32) < many[:, None]]
    head = f"{shape[0] * shape[1] * _CHANNELS:032b}{_WORD - 1:05b}" + "".join(f"{size - 1:04b}" for size in _SIZES)
    start = np.frombuffer(head.encode(), np.uint8) - 48
    # the tool fills up with 1 to 8 zeros
    return np.packbits(np.concatenate([start, bits, np.zeros(8 - (len(start) + len(bits)) % 8, np.uint8)]))
