"""Files of a whole folder, made of what was predicted for its images: ``disagreement.csv`` and ``boxes.json``.

Each is removed where a later call does not want it: it must not pass for what that one found.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seg.files import write_csv, write_json
from seg.runs import BOXES

DISAGREEMENT = "disagreement.csv"


def write_disagreement(scores: Mapping[str, Mapping[str, float]] | None, destination: Path) -> None:
    """Write the images on which the members disagree the most first; with None, remove that of an earlier call."""
    path = destination / DISAGREEMENT
    if scores is None:
        if (destination / "disagreement").is_dir():  # else it is not ours
            path.unlink(missing_ok=True)
        return
    columns = ("disagreement", "confidence")
    order = sorted(scores, key=lambda name: (-scores[name]["disagreement"], name))
    write_csv(path, ("image", *columns), ((name, *(f"{scores[name][key]:.6g}" for key in columns)) for name in order))


def join_boxes(parts: Sequence[Path] | None, destination: Path) -> None:
    """Write the boxes of all images that have been predicted as one file; with None, remove that of an earlier call."""
    path = destination / BOXES
    if parts is None:
        if (destination / "boxes").is_dir():  # else it is not ours
            path.unlink(missing_ok=True)
        return
    whole: dict[str, Any] = {"images": [], "categories": [], "annotations": []}
    for part in (part for part in parts if part.is_file()):
        data = json.loads(part.read_text(encoding="utf-8"))
        number, first = len(whole["images"]) + 1, len(whole["annotations"])
        whole["images"] += [{**image, "id": number} for image in data["images"]]
        whole["categories"] = data["categories"]
        whole["annotations"] += [{**box, "id": first + box["id"], "image_id": number} for box in data["annotations"]]
    write_json(path, whole)
