"""Probabilities of all classes that runs kept of images: files of one image by several models belong together."""

import glob
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_FOLDER = "probabilities"  # of a run, and of what seg-predict writes


@dataclass(frozen=True)
class Probabilities:
    """The files of each image, by its name.

    Attributes:
        files: of one image, one for each model that predicted it.
    """

    files: Mapping[str, Sequence[Path]]

    @classmethod
    def of(cls, runs: str) -> "Probabilities":
        """Find what was kept.

        Args:
            runs: the folder of several runs, a run, or a pattern of such folders, ``runs/folds-*``.

        Raises:
            ValueError: there is none.
        """
        several = [runs]
        if glob.has_magic(runs) and not Path(runs).exists():  # a folder may be called runs[1]
            several = sorted(glob.glob(runs))  # noqa: PTH207 - absolute ones, too
        folders = [Path(each) for each in several]
        inside = [
            found
            for folder in folders
            for found in (folder / _FOLDER, *sorted(folder.glob(f"*/{_FOLDER}")))
            if found.is_dir()
        ]
        files: dict[str, list[Path]] = {}
        for folder in inside:
            for path in sorted(folder.rglob("*.npz")):
                files.setdefault(str(path.relative_to(folder).with_suffix("")), []).append(path)
        if not files:
            raise ValueError(
                f"suspects: expected runs that kept the probabilities of images, got none in '{runs}'; train with "
                "sweep=folds fit.probabilities=uint8, and give the folder of these runs"
            )
        return cls(files)

    def read(self, name: str, classes: Sequence[str], size: tuple[int, int]) -> NDArray[np.float32]:
        """Return what each model says of an image: (models, C, H, W), 0..1.

        Raises:
            ValueError: a damaged file, other classes, or another size than (H, W).
        """
        return np.stack([_read(path, classes, size) for path in self.files[name]])


def _read(path: Path, classes: Sequence[str], size: tuple[int, int]) -> NDArray[np.float32]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            shares, names = kept["probabilities"], kept["classes"].tolist()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(
            f"suspects: expected probabilities as seg-train keeps them, got '{path}', which is damaged ({error}); "
            "train this run again"
        ) from None
    if names != list(classes):
        raise ValueError(
            f"suspects: expected probabilities of {', '.join(classes)}, got those of {', '.join(map(str, names))} in "
            f"'{path}'; give runs that were trained with this label map"
        )
    if shares.ndim != 3 or shares.shape[1:] != size:
        raise ValueError(
            f"suspects: expected probabilities of {size[1]}x{size[0]} pixels, as the mask has, got "
            f"{'x'.join(map(str, shares.shape[:0:-1]))} in '{path}'; give runs that were trained on these images"
        )
    found: NDArray[np.float32] = shares.astype(np.float32)
    return found / np.float32(255) if shares.dtype == np.uint8 else found
