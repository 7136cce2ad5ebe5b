"""The data loop on the embedded dataset: wrong labels are found, repaired with the truth, and the gain gets a verdict.

make loop        (or: python scripts/loop.py; all of it lies in loop/, and what is there is not done again)
"""

import shutil
from pathlib import Path

import cv2
import numpy as np

from demo import command
from seg.synthetic import LABELS, Rendering

data, noisy, repaired, back = (Path("loop", name) for name in ("data", "noisy", "repaired", "back"))
Rendering(str(data))()
shutil.copytree(data / "train/masks", noisy, dirs_exist_ok=True)
random = np.random.default_rng(0)
for path in sorted(noisy.glob("*.png")):  # a quarter of the objects gets a class by chance
    mask = before = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    for index in np.unique(before[before != 255]):
        count, places = cv2.connectedComponents(np.uint8(before == index))
        for place in 1 + np.flatnonzero(random.random(count - 1) < 0.25):
            mask = np.where(places == place, np.uint8(random.integers(LABELS.classes)), mask)
    cv2.imwrite(str(path), mask)
common = {"experiment": "embedded", "fit.minutes": 1, "fit.validate_every": 100, "logger": "none", "pictures": 0}
common |= {"data.train.images": data / "train/images"}
folds = {"sweep": "folds", "data.folds": 2, "fit.probabilities": "uint8", "runs": "loop/folds"}
command("seg-train", **folds, **common, **{"data.train.masks": noisy})
audit = {"images": data / "train/images", "masks": noisy, "suspects": "loop/folds", "destination": "loop/suspects"}
command("seg-audit", **audit)
back.mkdir(exist_ok=True)
for row in Path("loop/suspects/suspects.csv").read_text().splitlines()[1:151]:  # as annotators would bring it back
    shutil.copy(data / "train/masks" / f"{row.split(',')[1]}.png", back)
command("seg-audit", **audit, masks_destination=repaired, corrected=back)
common |= {"data.val.images": data / "val/images", "data.val.masks": data / "val/masks", "seed": "0,1,2,3,4"}
command("seg-train", "--multirun", **common, **{"data.train.masks": f"{noisy},{repaired}"}, runs="loop/runs")
command("seg-compare", runs="loop/runs", destination="loop/report")
