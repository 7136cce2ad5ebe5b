"""Advice where memory runs out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from traceback import clear_frames

from seg.files.errors import Failed
from seg.inference.prediction import out_of_memory
from seg.models import first_line


@contextmanager
def memory_for(advise: str | Callable[[], str]) -> Iterator[None]:
    """Turn running out of memory, within the block, into failed work that comes with advice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        clear_frames(error.__traceback__)  # which hold what filled the memory
        advice = advise if isinstance(advise, str) else advise()
        raise Failed(f"expected enough memory, got none left ({first_line(error)}); {advice}") from None
