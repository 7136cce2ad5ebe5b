"""Which labels are wrong? Regions that models, which have not seen them, take for another class with confidence.

    from seg.audit.suspects import Probabilities, find_suspects, write_files
    found = find_suspects(pairs, Probabilities.of("folds"), labels)
    for suspect in found.found[:10]: print(suspect.name, suspect.label, suspect.suggested, suspect.box)

Probabilities out of fold come from ``seg-train sweep=folds fit.probabilities=uint8``: a model that was trained on a
label has learnt it, and hides the error.

What bites here:

- A class is believed above its own threshold, the mean probability where it is labelled: one threshold for all would
  never suspect a rare class, whose probabilities are low everywhere. After confident learning (Northcutt et al. 2021),
  by pixel.
- What is merely hard is left out: a pixel counts only where every model is above the threshold and holds the class for
  likelier than the label, and a region only if it reaches farther from the label's border than ``tolerance``.
- The rank is how sure the models are, not how large the region is: where a model errs it errs over a whole sky, and by
  area its mistakes come before every wrong label (`benchmarks/results/suspects-2026-11-30.md`).
- Images are looked at one at a time, twice: memory does not grow with the set.
"""

from seg.audit.suspects.finding import LEAST, TOLERANCE, Suspect, Suspects, find_suspects
from seg.audit.suspects.folder import find_into
from seg.audit.suspects.masks import write_masks
from seg.audit.suspects.page import write_files
from seg.audit.suspects.probabilities import Probabilities

__all__ = [
    "LEAST",
    "TOLERANCE",
    "Probabilities",
    "Suspect",
    "Suspects",
    "find_into",
    "find_suspects",
    "write_files",
    "write_masks",
]
