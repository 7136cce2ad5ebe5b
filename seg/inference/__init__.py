"""Prediction of images of any size: whole, in windows, in several views.

`whole`, `sliding` and `augmented` take a model and return one, and so they compose:

    predict = sliding(augmented(model, flips=["horizontal"]), window=512, overlap=0.5)
    logits = predict(images)  # (N, channels, H, W), normalised -> (N, C, H, W)

Windows average logits, views average probabilities and return their logarithms.

What bites here: onnxruntime writes an identifier below the home folder and calls home, unless a variable says otherwise
before it is imported, which therefore stands here.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from seg.inference.memory import keep_freed_memory, memory_for, out_of_memory, return_freed_memory
from seg.inference.padding import MULTIPLE, Model, whole, whole_image
from seg.inference.prediction import as_tensor, composed, finite, mask_of, normalized
from seg.inference.validated import as_validated
from seg.inference.views import augmented
from seg.inference.windows import Sliding, sliding

__all__ = [
    "MULTIPLE",
    "Model",
    "Sliding",
    "as_tensor",
    "as_validated",
    "augmented",
    "composed",
    "finite",
    "keep_freed_memory",
    "mask_of",
    "memory_for",
    "normalized",
    "out_of_memory",
    "return_freed_memory",
    "sliding",
    "whole",
    "whole_image",
]
