"""Files that are written whole or not at all."""

import csv
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""Suffixes of image files, upper or lower case."""


@contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path to write to; it replaces ``path`` when the block ends without error."""
    path = Path(path)
    # without the name in it, which may be as long as the file system allows
    mark = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    temporary = path.with_name(f".{mark}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], data: Any) -> None:
    """Indented JSON; NaN and infinity, which JSON lacks, become null."""
    with whole(path) as temporary:
        temporary.write_text(json.dumps(finite(data), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_csv(path: str | os.PathLike[str], header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Comma-separated rows under a header."""
    with whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_png(path: str | os.PathLike[str], image: "NDArray[np.uint8 | np.uint16]") -> None:
    """RGB (H, W, 3) or grayscale (H, W) picture of 8 or 16 bits; makes missing folders.

    Raises:
        OSError: the file cannot be written.
    """
    import cv2

    encoded = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)[1]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def finite(data: Any) -> Any:
    """The same plain data with None for every NaN and infinity."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def make_folder(path: str | os.PathLike[str], what: str) -> Path:
    """Create a folder with its parents, and check that it can be written to.

    Args:
        what: the option that names it, for the message.

    Raises:
        ValueError: it cannot be created or written to.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with whole(path / ".writable") as temporary:
            temporary.touch()
        (path / ".writable").unlink()
    except OSError as error:
        raise ValueError(
            f"{what}: expected a folder that can be made and written to, got '{path}' ({error.strerror}); give another"
        ) from None
    return path
