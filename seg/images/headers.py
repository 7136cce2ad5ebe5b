"""Size and kind of image files, from their first bytes: a false size must not take memory."""

import io
import math
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

_BROKEN = "expected a PNG, BMP, TIFF, JPEG or WebP file, got one that cannot be decoded; replace it"


class Header(NamedTuple):
    """Size and kind of an image file: `stored` says whether OpenCV returns the values of a one-channel image as they
    are in the file; `lossy` names a format that changes colours; `palette` asks OpenCV for colours, because by default
    it turns some palettes into gray (BMP with an OS/2 header); `frames` counts those of an animation, and the pictures
    of a JPEG, previews among them; `tiff` is there of a TIFF file alone."""

    width: int
    height: int
    stored: bool = True
    lossy: str = ""
    palette: bool = False
    frames: int = 1
    tiff: "Tiff | None" = None


def size_of(data: bytes) -> tuple[int, int] | None:
    """Read width and height from the header of a PNG, BMP, TIFF, JPEG or WebP file; None if it cannot be read."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    try:
        header = read_header(io.BytesIO(data), any_form=True)
    except ValueError:
        return None
    return header.width, header.height


def read_header(file: BinaryIO, *, any_form: bool = False) -> Header:
    """Read size and kind of a BMP, TIFF, JPEG or WebP file.

    Args:
        any_form: read forms as well that a label image must not have.

    Raises:
        ValueError: another format, a header that ends early, or a form that is refused.
    """
    start = file.read(16)
    if not start:
        raise ValueError("expected an image, got an empty file; export it again")
    try:
        if start.startswith(b"BM"):
            return _bmp(file, any_form)
        if start[:4] in _TIFF_FORMS:
            return _tiff(file, start[:4], any_form)
        if start.startswith(b"\xff\xd8"):
            return _jpeg(file)
        if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
            return _webp(file)
    except struct.error:
        raise ValueError(_BROKEN) from None
    raise ValueError(_BROKEN)


def _at(file: BinaryIO, offset: int, form: str) -> tuple[Any, ...]:
    try:
        file.seek(offset)
    except (OverflowError, OSError, ValueError):  # beyond what a file can have: offsets of a broken BigTIFF
        raise struct.error from None
    return struct.unpack(form, file.read(struct.calcsize(form)))


# BMP: BITMAPCOREHEADER (12 bytes, palette of 3-byte colours) or BITMAPINFOHEADER and its longer kin (4-byte colours).


_BITFIELDS = {3, 6}
_WHOLE_BYTES = {0xFF, 0xFF00, 0xFF0000, 0xFF000000}


def _bmp(file: BinaryIO, any_form: bool) -> Header:
    (size,) = _at(file, 14, "<I")
    if size == 12:
        width, height, bits = _at(file, 18, "<HH2xH")
        colors, entry = 1 << min(bits, 8), 3
    else:
        width, height, bits, packing, colors = _at(file, 18, "<ii2xHI12xI")
        colors, entry = colors or 1 << min(bits, 8), 4
        if not any_form and bits == 32 and packing in _BITFIELDS and not _WHOLE_BYTES.issuperset(_at(file, 54, "<III")):
            raise ValueError(
                "BMP: expected channels of 8 bits each, got others, which decoders read differently; save it as PNG"
            )
    if bits == 16 and not any_form:
        raise ValueError(
            "BMP: expected 8, 24 or 32 bits a pixel, got 16, whose 5 bits a channel decoders widen differently; save "
            "it as PNG"
        )
    if width <= 0 or height == 0:
        raise ValueError(_BROKEN)
    stored = bits == 8 and _is_gray_ramp(file, 14 + size, min(colors, 256), entry)
    return Header(width, abs(height), stored, palette=bits <= 8 and not stored)


def _is_gray_ramp(file: BinaryIO, offset: int, colors: int, entry: int) -> bool:
    """Tell whether each palette entry i is the gray i, so that level and stored value are the same."""
    file.seek(offset)
    palette = file.read(colors * entry)
    return all(palette[i * entry : i * entry + 3] == bytes((i, i, i)) for i in range(colors))


# TIFF 6.0, sections 2 and 8: the first directory; BigTIFF has offsets of 8 bytes.

_TIFF_FORMS = {b"II*\0": ("<", 4), b"MM\0*": (">", 4), b"II+\0": ("<", 8), b"MM\0+": (">", 8)}
_KIND, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _PLANAR, _EXTRA, _FORMAT = 274, 277, 284, 338, 339
_OLD_KIND, _DESCRIPTION, _DEPTH, _NODATA = 255, 270, 32997, 42113
_MP_PICTURES = 0xB001
_OVERVIEW_OR_MASK, _OLD_OVERVIEW = 1 | 4, 2  # bits of _KIND; value of _OLD_KIND
_JPEG_COMPRESSIONS = {6, 7}
_BLACK_IS_ZERO = 1
_COLOR_SPACES = {0, _BLACK_IS_ZERO, 2, 3, 6}  # white is zero, black is zero, RGB, palette, YCbCr
_MOST_PAGES = 1 << 16
_MOST_TEXT = 1 << 12  # bytes of a description


class Tiff(NamedTuple):
    """What the first page of a TIFF file says of its values.

    Attributes:
        separate: the bands lie one after the other.
        alpha: the kind of the first sample beyond the colours: 0 anything, 1 premultiplied, 2 not premultiplied.
        orientation: as EXIF's.
        pages: of the same size, with this one.
        pictures: pages of any size, with this one, without overviews and transparency masks.
        nodata: the value that GDAL takes for missing, NaN among others; None = none is declared.
        big: BigTIFF, big-endian, which Pillow does not read.
    """

    bits: int
    samples: int
    photometric: int
    separate: bool
    alpha: int
    floats: bool
    orientation: int
    pages: int
    pictures: int
    nodata: float | None
    big: bool

    @property
    def is_gray(self) -> bool:
        return self.photometric in (0, _BLACK_IS_ZERO)


def read_tiff(data: bytes) -> Tiff | None:
    """Return what a TIFF file says of its values; None for another format, or a damaged header."""
    if data[:4] not in _TIFF_FORMS:
        return None
    try:
        pages = list(_tiff_pages(io.BytesIO(data), *_TIFF_FORMS[data[:4]], _MOST_PAGES))
    except (ValueError, struct.error):
        return None
    return _tiff_of(pages, data[:4]) if pages else None


def _tiff_of(pages: list[dict[int, Any]], start: bytes) -> Tiff:
    first = pages[0]
    alike = [page for page in pages if all(page.get(tag) == first.get(tag) for tag in (_WIDTH, _HEIGHT, _KIND))]
    return Tiff(
        bits=first[_BITS],
        samples=first.get(_SAMPLES, 1),
        photometric=first.get(_PHOTOMETRIC, _BLACK_IS_ZERO),
        separate=first.get(_PLANAR, 1) == 2,
        alpha=first.get(_EXTRA, 0),
        floats=first.get(_FORMAT, 1) == 3,
        orientation=first.get(_ORIENTATION, 1),
        pages=len(alike),
        pictures=_pictures(pages),
        nodata=_number(first.get(_NODATA, "")),
        big=start == b"MM\0+",
    )


def _pictures(pages: list[dict[int, Any]]) -> int:
    """Count the pictures of all pages; ImageJ and tifffile put those of a large stack behind one page."""
    first, *others = pages
    whole = [page for page in others if _WIDTH in page and not page.get(_KIND, 0) & _OVERVIEW_OR_MASK]
    listed = 1 + len([page for page in whole if page.get(_OLD_KIND) != _OLD_OVERVIEW])
    said = first.get(_DESCRIPTION, "")
    planes = int(first.get(_DEPTH, 1))
    if stack := re.match(r"ImageJ=.*?^images=(\d{1,9})$", said, re.DOTALL | re.MULTILINE):
        planes = int(stack[1])
    elif shape := re.match(r'{"shape": \[([\d, ]+)\].*"truncated": true', said):
        page = first.get(_WIDTH, 1) * first.get(_HEIGHT, 1) * first.get(_SAMPLES, 1)
        planes = math.prod(map(int, shape[1].split(","))) // max(page, 1)
    return max(listed, planes)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def orientation_of(data: bytes) -> int:
    """Return the EXIF orientation, 1..8; 1 = upright, also where none is given."""
    if (tiff := read_tiff(data)) is not None:
        orientation = tiff.orientation
    else:
        at = data.find(b"Exif\0\0", 0, 1 << 16) + 6 if data.startswith(b"\xff\xd8") else _chunk_of_exif(data)
        exif = data[at:] if at > 5 else b""
        form = _TIFF_FORMS.get(exif[:4], ("", 0))
        try:
            (page,) = _tiff_pages(io.BytesIO(exif), *form, 1) if form[1] == 4 else ({},)
        except (ValueError, struct.error):
            return 1
        orientation = page.get(_ORIENTATION, 1)
    return orientation if 1 <= orientation <= 8 else 1


def _chunk_of_exif(data: bytes) -> int:
    """Find where the EXIF data of a PNG or WebP file begin, -1 without any."""
    if data.startswith(b"RIFF"):
        at = data.rfind(b"EXIF")
        return -1 if at < 0 else at + (14 if data[at + 8 : at + 14] == b"Exif\0\0" else 8)
    at = data.rfind(b"eXIf") if data.startswith(b"\x89PNG") else -1
    return -1 if at < 0 else at + 4


def _tiff_pages(file: BinaryIO, order: str, word: int, most: int) -> Iterator[dict[int, Any]]:
    """Yield the first value of every known tag, or its text, page by page."""
    big = word == 8
    (at,) = _at(file, word, order + ("Q" if big else "I"))
    seen: set[int] = set()
    while at and at not in seen and len(seen) < most:
        seen.add(at)
        (count,) = _at(file, at, order + ("Q" if big else "H"))
        tags: dict[int, Any] = {_BITS: 1, _COMPRESSION: 1}
        count = min(count, 4096)
        for index in range(count):
            entry = at + (8 + 20 * index if big else 2 + 12 * index)
            tag, kind = _at(file, entry, order + "HH")
            if tag in _KNOWN:
                tags[tag] = _tiff_value(file, entry, order, big, kind)
            elif tag in _TEXTS and kind == 2:
                tags[tag] = _tiff_text(file, entry, order, big)
        yield tags
        if len(seen) == most:
            return
        (at,) = _at(file, at + (8 + 20 * count if big else 2 + 12 * count), order + ("Q" if big else "I"))


_KNOWN = {
    *(_KIND, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC),
    *(_ORIENTATION, _SAMPLES, _PLANAR, _EXTRA, _FORMAT, _OLD_KIND, _DEPTH, _MP_PICTURES),
}
_TEXTS = {_DESCRIPTION, _NODATA}


def _tiff(file: BinaryIO, start: bytes, any_form: bool) -> Header:
    pages = []
    try:
        for page in _tiff_pages(file, *_TIFF_FORMS[start], _MOST_PAGES):
            pages.append(page)
    except (ValueError, struct.error):  # behind the first page it harms nobody
        if not pages:
            raise
    tags = pages[0] if pages else {}
    if tags.get(_WIDTH, 0) < 1 or tags.get(_HEIGHT, 0) < 1:
        raise ValueError(_BROKEN)
    if tags.get(_PHOTOMETRIC) not in _COLOR_SPACES and not any_form:
        raise ValueError(
            "TIFF: expected gray, RGB or a palette, got another colour space, such as CMYK or Lab; save it as PNG"
        )
    stored = tags[_BITS] >= 8 and tags.get(_PHOTOMETRIC) == _BLACK_IS_ZERO
    lossy = "JPEG" if tags[_COMPRESSION] in _JPEG_COMPRESSIONS else ""
    return Header(tags[_WIDTH], tags[_HEIGHT], stored, lossy, tiff=_tiff_of(pages, start))


def _tiff_text(file: BinaryIO, entry: int, order: str, big: bool) -> str:
    """Return the text of an entry, as far as it can be read."""
    count, place = _at(file, entry + 4, order + ("QQ" if big else "II"))
    _at(file, entry + (12 if big else 8) if count <= (8 if big else 4) else place, "")
    return file.read(min(count, _MOST_TEXT)).split(b"\0")[0].decode("latin-1").strip()


def _tiff_value(file: BinaryIO, entry: int, order: str, big: bool, kind: int) -> int:
    """Return the first value of an entry of type SHORT, LONG or LONG8; several values lie at an offset."""
    form = {3: "H", 4: "I", 16: "Q"}.get(kind)
    if form is None:
        raise ValueError(_BROKEN)
    (count,) = _at(file, entry + 4, order + ("Q" if big else "I"))
    place = entry + (12 if big else 8)
    if count * struct.calcsize("=" + form) > (8 if big else 4):
        (place,) = _at(file, place, order + ("Q" if big else "I"))
    return int(_at(file, place, order + form)[0])


def _jpeg(file: BinaryIO) -> Header:
    """Read segments up to the frame header, SOF0..15 without DHT, JPG and DAC (ITU-T T.81, annex B)."""
    at, pictures = 2, 1
    while True:
        mark, code, size = _at(file, at, ">BBH")
        if mark != 0xFF:
            raise ValueError(_BROKEN)
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            height, width = _at(file, at + 5, ">HH")
            return Header(width, height, lossy="JPEG", frames=pictures)
        if code == 0xE2:
            pictures = max(pictures, _pictures_of_mpo(_at(file, at + 4, f"{max(size - 2, 0)}s")[0]))
        at += 1 if code == 0xFF else 2 + size  # 0xFF: a fill byte


def _pictures_of_mpo(segment: bytes) -> int:
    """Count the pictures that the index of a multi-picture JPEG lists (CIPA DC-007); 1 in other segments."""
    form = _TIFF_FORMS.get(segment[4:8]) if segment.startswith(b"MPF\0") else None
    with suppress(ValueError, struct.error):
        for index in _tiff_pages(io.BytesIO(segment[4:]), *form, 1) if form else ():
            return int(index.get(_MP_PICTURES, 1))
    return 1


def _webp(file: BinaryIO) -> Header:
    """Return the first picture chunk (RFC 9649): VP8 is lossy, VP8L is not; VP8X announces either."""
    at, canvas = 12, (0, 0)
    while True:
        name, size = _at(file, at, "<4sI")
        if name == b"VP8X":
            sides = _at(file, at + 12, "<HBHB")
            canvas = (1 + sides[0] + (sides[1] << 16), 1 + sides[2] + (sides[3] << 16))
        elif name == b"VP8 ":
            width, height = (side & 0x3FFF for side in _at(file, at + 14, "<HH"))
            return Header(max(width, canvas[0]), max(height, canvas[1]), lossy="WebP")
        elif name == b"VP8L":
            (bits,) = _at(file, at + 9, "<I")
            return Header(max((bits & 0x3FFF) + 1, canvas[0]), max((bits >> 14 & 0x3FFF) + 1, canvas[1]))
        elif name == b"ANMF":
            return Header(*canvas, lossy="WebP", frames=_webp_frames(file, at))
        at += 8 + size + (size & 1)


def _webp_frames(file: BinaryIO, at: int) -> int:
    """Count the frames from this one to the end of the file."""
    frames = 0
    try:
        while True:
            name, size = _at(file, at, "<4sI")
            frames += name == b"ANMF"
            at += 8 + size + (size & 1)
    except struct.error:
        return frames


def _png_frames(data: bytes) -> int:
    """Count the frames of an animated PNG, 1 for an ordinary one (PNG 3, section 11.3.6): chunks before the pixels."""
    at, frames, apart = 8, 0, 1
    while (name := data[at + 4 : at + 8]) and name not in (b"IDAT", b"IEND"):
        if name == b"acTL":
            frames = int.from_bytes(data[at + 8 : at + 12])
        elif name == b"fcTL":
            apart = 0  # else the image is no frame, but a picture for readers that know no animation
        at += 12 + int.from_bytes(data[at : at + 4])
    return frames + apart if frames else 1


def check_frames(data: bytes) -> None:
    """Refuse animations, of which every reader would take the first frame.

    Raises:
        ValueError: a PNG or WebP file of several frames; the message says how many.
    """
    frames = 1
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        frames = _png_frames(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        with suppress(struct.error):  # its reader says that it is damaged
            frames = _webp(io.BytesIO(data)).frames
    if frames > 1:
        raise ValueError(
            f"expected one picture, got an animation of {frames} frames; save the frame that is meant as a file of its "
            "own"
        )
