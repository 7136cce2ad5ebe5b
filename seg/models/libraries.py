"""segmentation-models-pytorch and timm, imported without torch's compiler, which takes as long as torch itself.

timm marks a few methods of one model as not to be compiled, and asks the compiler to do so as it is imported. torch
marks its own in a way that waits for their first call; timm is handed that one.
"""

import torch
from torch._compile import _disable_dynamo as waiting

from seg.files.imports import without_compiler

at_once = torch.compiler.disable
torch.compiler.disable = waiting  # type: ignore[assignment]  # overloaded
try:
    with without_compiler():
        import segmentation_models_pytorch as smp
        import timm
finally:
    torch.compiler.disable = at_once

__all__ = ["smp", "timm"]
