"""The first words of a command that is about to load torch, which takes seconds."""

import logging

from seg.data.pairs.pair import pair
from seg.data.pairs.several import Folders
from seg.report.console import muted

log = logging.getLogger(__name__)


def say_pairs(images: Folders | None, masks: Folders, only: Folders | None, templates: tuple[str, str]) -> None:
    """Say how many images have masks; nothing where they do not pair up, which is said when they are read.

    Args:
        images, masks, only: see `seg.data.pairs.pair`; no images: nothing is said.
        templates: file name of image and mask.
    """
    if images is None:
        return
    try:
        with muted():
            found = pair(images, masks, only=only, image_template=templates[0], template=templates[1])
    except ValueError:
        return
    log.info(f"{len(found)} images with masks; loading torch")
