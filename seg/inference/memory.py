"""Memory that is freed is kept, and what to do when it runs out, on any device."""

import ctypes
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from traceback import clear_frames

import torch

from seg.files.errors import Failed
from seg.models import first_line

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _MOST = -3, -1, 2**31 - 1  # of <malloc.h>


def keep_freed_memory() -> None:
    """Have the C library keep large blocks that are freed, and hand them out again.

    It returns each to the system otherwise, which clears every page of the next one: on a CPU a tenth of the time of a
    step, because every activation is taken and freed anew. Results are the same. Only glibc does so; where the user has
    set one of its variables, such as ``MALLOC_TRIM_THRESHOLD_``, nothing is changed.
    """
    if (library := _glibc()) is not None and not any(name.startswith("MALLOC_") for name in os.environ):
        library.mallopt(_MMAP_THRESHOLD, _MOST)
        library.mallopt(_TRIM_THRESHOLD, _MOST)


def return_freed_memory() -> None:
    """Return to the system what `keep_freed_memory` has kept."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


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
