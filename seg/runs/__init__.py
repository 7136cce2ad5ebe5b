"""The run folder ``runs/<name>/``: its files, who writes them, and how they are read back. Needs no torch.

=========================  ==========================================================================================
``config.yaml``            the whole configuration, resolved
``environment.json``       versions, git state, hardware, seed, the chosen option of each group
``metrics.jsonl``          one line an epoch
``last.pt``                the state to go on from (`seg.inference.trained`)
``previous.pt``            the state saved before that one, should ``last.pt`` be damaged
``best.pt``                the weights with the best validation score
``epoch-0012.pt``          the weights after an epoch, of the ``fit.keep`` best
``replay-0.pt``            a step whose loss was not finite, for ``replay=``; the number is that of the process
``pairs.csv``              names and sizes of the files that it is trained and validated on
``per_image.csv``          pixels of each class in each validation image, of the last epoch
``per_image_metrics.csv``  further scores of each of these images: mIoU, calibration, boundaries
``metrics.json``           every score of the last epoch, with curves and tables; same format as seg-evaluate's
``boxes.json``             the boxes that it predicts for these images, in COCO's form (``task=boxes``)
``predictions/``           the mask that it predicts for each validation image
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
    PairFiles as PairFiles,
    append_line as append_line,
    check_pairs as check_pairs,
    copy_record as copy_record,
    cut_lines as cut_lines,
    mark_complete as mark_complete,
    opened as opened,
    write_per_image as write_per_image,
    write_per_image_metrics as write_per_image_metrics,
)
from seg.runs.identity import (
    as_text as as_text,
    differences as differences,
    is_complete as is_complete,
    owns as owns,
    package as package,
    run_name as run_name,
    settings as settings,
    tuned_keys as tuned_keys,
)
from seg.runs.records import (
    BEST as BEST,
    BOXES as BOXES,
    CARD as CARD,
    COLUMNS as COLUMNS,
    CONFIG as CONFIG,
    CURVES as CURVES,
    DONE as DONE,
    ENVIRONMENT as ENVIRONMENT,
    EPOCHS as EPOCHS,
    EVALUATION as EVALUATION,
    KEPT as KEPT,
    LAST as LAST,
    PAIRS as PAIRS,
    PER_IMAGE as PER_IMAGE,
    PER_IMAGE_METRICS as PER_IMAGE_METRICS,
    PICTURES as PICTURES,
    PREDICTIONS as PREDICTIONS,
    PREVIOUS as PREVIOUS,
    REPLAY as REPLAY,
    TEST as TEST,
    PerImage as PerImage,
    RunRecord as RunRecord,
    read as read,
    read_config as read_config,
    read_lines as read_lines,
    read_per_image as read_per_image,
    read_per_image_metrics as read_per_image_metrics,
)
