"""python -m pytest tests/inference/test_memory.py"""

import os
import platform
import subprocess
import sys
from unittest.mock import Mock

import pytest

from seg.inference import keep_freed_memory, memory

PROGRAM = """
import resource
import numpy as np
from seg.inference import keep_freed_memory, return_freed_memory

def fetched():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(8_000_000)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1])

usual = fetched()
keep_freed_memory()
np.ones(8_000_000)
kept, held = fetched(), resident()
return_freed_memory()
print(usual, kept, held - resident())
"""
PAGES = 64_000_000 // os.sysconf("SC_PAGE_SIZE")  # of one array


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep what is freed")
def test_what_is_freed_is_kept_until_it_is_returned() -> None:
    """Counted in pages that ten arrays, one after the other, fetch from the system."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True, text=True, env=variables | {"NUMPY_MADVISE_HUGEPAGE": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    usual, kept, returned = map(int, done.stdout.split())
    assert usual > 9 * PAGES, "else there is nothing to gain"
    assert kept < PAGES // 10
    assert returned > 0.9 * PAGES


def test_what_the_user_has_set_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Mock()
    monkeypatch.setattr(memory, "_glibc", lambda: library)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "100000")
    keep_freed_memory()
    assert not library.mock_calls
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    keep_freed_memory()
    assert library.mallopt.call_count == 2


def test_other_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("", ""))
    keep_freed_memory()
    memory.return_freed_memory()
