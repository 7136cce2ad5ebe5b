"""How the ``data`` group says that images are read."""

from typing import Any

from seg.images import Reading


def reading_of(data: dict[str, Any]) -> Reading:
    """How ``data.bands``, ``data.range`` and ``data.exif`` say that images are read; percentiles are still to measure.

    Raises:
        ValueError: another value.
    """
    try:
        return Reading.of(data["bands"], data["range"], data["exif"])
    except ValueError as error:
        raise ValueError(f"data.{error}") from None
