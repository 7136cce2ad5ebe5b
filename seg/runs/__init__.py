"""The run folder ``runs/<name>/``: its files, who writes them, and how they are read back. Needs no torch.

=========================  ==========================================================================================
``config.yaml``            the whole configuration, resolved
``environment.json``       versions, git state, hardware, seed, the chosen option of each group
``metrics.jsonl``          one line an epoch
``log.txt``                what was said while it was trained, with the time of day
``last.pt``                the state to go on from (`seg.inference.trained`)
``previous.pt``            the state saved before that one, should ``last.pt`` be damaged
``best.pt``                the weights with the best validation score
``epoch-0012.pt``          the weights after an epoch, of the ``fit.keep`` best
``replay-0.pt``            a step whose loss was not finite, for ``replay=``; the number is that of the process
``pairs.csv``              names of the pairs that it is trained and validated on, sizes of files, checksums of pixels
``per_image.csv``          pixels of each class in each validation image, of the last epoch
``per_image_metrics.csv``  further scores of each of these images: mIoU, calibration, boundaries
``metrics.json``           every score of the last epoch, with curves and tables; same format as seg-evaluate's
``boxes.json``             the boxes that it predicts for these images, in COCO's form (``task=boxes``)
``predictions/``           the mask that it predicts for each validation image
``probabilities/``         those of each validation image (``fit.probabilities=uint8``), as seg-predict writes them
``test/``                  what ``sweep.test`` found: an output folder of ``seg-evaluate``
``README.md``              the model card, written when the run is complete
``done.json``              scores of the last epoch; written last, it marks a complete run
``pictures/``              validation images with their predictions; ``curves.png`` beside it
=========================  ==========================================================================================

What bites here:

- Whether a folder holds the run that is asked for follows from its configuration (`seg.runs.identity`): a key that is
  new in ``conf/train.yaml`` needs its old meaning in ``_SINCE``, and a target that moved its old name in ``_MOVED``, or
  unfinished runs of older versions are refused. ``license`` is no part of a run's identity, because it changes no
  number; ``seed`` is, because it changes all of them.
- The schema of the folder has no other owner: whoever reads or writes one of its files does it here.
"""

from seg.runs.folder import (
    RECORD,
    PairFiles,
    append_line,
    check_pairs,
    copy_record,
    cut_lines,
    mark_complete,
    opened,
    write_per_image,
    write_per_image_metrics,
)
from seg.runs.identity import as_text, differences, is_complete, level, owns, package, run_name, settings, tuned_keys
from seg.runs.minutes import Before, extended, fixed_steps, sweep_of
from seg.runs.records import (
    BEST,
    BOXES,
    CARD,
    COLUMNS,
    CONFIG,
    CURVES,
    DONE,
    ENVIRONMENT,
    EPOCHS,
    EVALUATION,
    KEPT,
    LAST,
    LOG,
    PAIRS,
    PER_IMAGE,
    PER_IMAGE_METRICS,
    PICTURES,
    PREDICTIONS,
    PREVIOUS,
    PROBABILITIES,
    REPLAY,
    TEST,
    TESTED,
    PerImage,
    RunRecord,
    read,
    read_config,
    read_lines,
    read_pairs,
    read_per_image,
    read_per_image_metrics,
)

__all__ = [
    "BEST",
    "BOXES",
    "CARD",
    "COLUMNS",
    "CONFIG",
    "CURVES",
    "DONE",
    "ENVIRONMENT",
    "EPOCHS",
    "EVALUATION",
    "KEPT",
    "LAST",
    "LOG",
    "PAIRS",
    "PER_IMAGE",
    "PER_IMAGE_METRICS",
    "PICTURES",
    "PREDICTIONS",
    "PREVIOUS",
    "PROBABILITIES",
    "RECORD",
    "REPLAY",
    "TEST",
    "TESTED",
    "Before",
    "PairFiles",
    "PerImage",
    "RunRecord",
    "append_line",
    "as_text",
    "check_pairs",
    "copy_record",
    "cut_lines",
    "differences",
    "extended",
    "fixed_steps",
    "is_complete",
    "level",
    "mark_complete",
    "opened",
    "owns",
    "package",
    "read",
    "read_config",
    "read_lines",
    "read_pairs",
    "read_per_image",
    "read_per_image_metrics",
    "run_name",
    "settings",
    "sweep_of",
    "tuned_keys",
    "write_per_image",
    "write_per_image_metrics",
]
