"""The embedded dataset on disk: rendered and converted where that is not done yet."""

import json
import logging
from dataclasses import asdict, dataclass

from seg.convert import convert_folder
from seg.files import make_folder, write_json
from seg.labels import LabelMap
from seg.synthetic.scenes import LABELS, write_dataset

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rendering:
    """Scenes and masks of the embedded dataset; calling it makes those that are missing.

    Args:
        destination: folder.
        train, val, seed, height, width, imbalance, blur, label_noise: see `write_dataset`.
    """

    destination: str
    train: int = 160
    val: int = 48
    seed: int = 0
    height: int = 192
    width: int = 288
    imbalance: float = 1.0
    blur: float = 0.0
    label_noise: float = 0.0

    @property
    def labels(self) -> LabelMap:
        """The label map of the scenes, rendered or not."""
        return LABELS

    def __call__(self) -> None:
        """Render and convert.

        Raises:
            ValueError: another rendering lies at the destination.
            RuntimeError: a label image cannot be converted.
        """
        destination = make_folder(self.destination, "data.render.destination")
        mark, options = destination / "render.json", asdict(self)
        if mark.exists():
            before = json.loads(mark.read_text(encoding="utf-8"))
            if {key: value for key, value in before.items() if key != "_target_"} != options:
                raise ValueError(
                    f"expected a rendering with these options in '{destination}', got one with others; give another "
                    "data.render.destination"
                )
        else:
            log.info(f"rendering the embedded dataset into {destination}")
            write_dataset(**options)
            write_json(mark, options)
        for part in ("train", "val"):
            summary = convert_folder(destination / part / "labels", destination / part / "masks", LABELS)
            if summary.failed:
                raise RuntimeError(f"converting {destination / part / 'labels'}: {summary.failures[0]}")
