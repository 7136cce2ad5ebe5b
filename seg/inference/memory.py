"""What to do when memory runs out, on any device."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from traceback import clear_frames

import torch

from seg.files.errors import Failed
from seg.models import first_line


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of torch's, on any device, means that memory ran out."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError)
        and any(words in str(error) for words in ("DefaultCPUAllocator", "out of memory", "bad_alloc"))
    )


@contextmanager
def memory_for(advise: str | Callable[[], str]) -> Iterator[None]:
    """Turn running out of memory within the block into failed work that comes with advice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        clear_frames(error.__traceback__)  # which hold what filled the memory
        advice = advise if isinstance(advise, str) else advise()
        raise Failed(f"expected enough memory, got none left ({first_line(error)}); {advice}") from None
