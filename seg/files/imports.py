"""Libraries, imported without what they load only for a trifle that nothing here uses."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


@contextmanager
def standing_in(name: str, module: ModuleType | None) -> Iterator[None]:
    """Let imports within the block find ``module`` under that name, unless the real one is loaded already.

    Afterwards nothing of it is left: who imports the name then gets the real one.

    Args:
        module: None = as if there were no such module.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = module  # type: ignore[assignment]
    try:
        yield
    finally:
        if sys.modules.get(name) is module:
            del sys.modules[name]


def without_compiler() -> AbstractContextManager[None]:
    """Let torchvision be imported within the block without ``torch._dynamo``, which takes as long as torch itself.

    torchvision asks it whether a device can compile, for ``roi_align`` on a GPU alone. The answer waits for the call.
    """
    return standing_in(_DYNAMO, _Deferred(_DYNAMO))


_DYNAMO = "torch._dynamo.utils"


class _Deferred(ModuleType):
    """Has the one function that is imported early; whoever asks for anything else gets it of the real module."""

    @staticmethod
    def is_compile_supported(device_type: Any) -> Any:
        """Tell whether programs for a device can be compiled."""
        return import_module(_DYNAMO).is_compile_supported(device_type)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the import system looks for
            raise AttributeError(name)
        if sys.modules.get(_DYNAMO) is self:
            del sys.modules[_DYNAMO]
        return getattr(import_module(_DYNAMO), name)
