"""What earlier calls left in a destination: masks of another label map, of labels that are gone, files of others."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from seg.convert.sources import Source
from seg.convert.summary import Tally
from seg.convert.tiles import Outputs
from seg.files import write_json
from seg.files.manifest import Manifest, Record

_SOURCE = "source.json"


class Former:
    """Masks of earlier calls, by the manifest.

    Args:
        source: the folder, or file, of labels.
        sharded: this call makes a part of the masks.

    Raises:
        ValueError: masks of another source, or of other shards, were made with another label map or options.
    """

    def __init__(self, outputs: Outputs, manifest: Manifest, source: str | os.PathLike[str], *, sharded: bool) -> None:
        self.outputs, self.manifest, self.sharded = outputs, manifest, sharded
        self.source, before = os.path.realpath(source), _source_of(outputs.target)
        self.same, self.is_new = before == self.source, before is None and not len(manifest)
        other = next(manifest.of_other_keys(), None)
        if other is not None and "kinds" in other:
            raise ValueError(
                f"destination: expected a folder of label masks, got '{outputs.target}' with predicted masks; give "
                "another folder"
            )
        if other is not None and (sharded or before not in (None, self.source)):
            what = "of other shards" if sharded else f"of '{before}'"
            raise ValueError(
                f"destination: expected a folder without masks, or with masks made by the same label map and options, "
                f"got '{outputs.target}' with masks {what} that were made otherwise, the first of "
                f"'{other['file']}'; give another folder, or remove it"
            )

    def refuse_others(self, list_sources: Callable[[], Iterable[Source]]) -> None:
        """Refuse to replace files that no conversion wrote, where none was made into this destination before.

        Args:
            list_sources: lists what this call converts; called only if there are files.

        Raises:
            ValueError: one of them is there.
        """
        target = self.outputs.target
        ours = (".", "manifest")
        if not self.is_new or all(path.name.startswith(ours) for path in target.iterdir()):
            return
        masks = (source.mask for source in list_sources() if source.mask)
        if (there := next((mask for mask in masks if self.outputs.exists(target / mask)), None)) is not None:
            raise ValueError(
                f"destination: expected a folder without files of others, got '{target / there}', which no conversion "
                "wrote and this one would replace; give another folder, or overwrite=true"
            )

    def clear(self) -> None:
        """Remove the masks of another label map or other options: whenever this call ends, there is one numbering."""
        for record in self.manifest.of_other_keys():
            self.outputs.remove(self._mask(record))
        self.manifest.forget_other_keys()
        write_json(self.outputs.target / _SOURCE, {"source": self.source})

    def settle(self, tally: Tally) -> None:
        """Remove the masks whose labels are gone or left out; of another source, name each as a failure."""
        removed = []
        for record in () if self.sharded else self.manifest.unclaimed():
            if not self.outputs.exists(mask := self._mask(record)):
                continue
            if self.same and not Path(self.source, record["file"]).exists():
                self.outputs.remove(mask)
                removed.append(record["file"])
            else:
                reason = f"its mask '{mask}' is of an earlier call, and this one leaves it out; remove that mask"
                tally.add({"file": record["file"], "status": "failed", "reason": reason}, True)
        if removed:
            tally.warn(f"{len(removed)} masks were removed with their labels, the first '{removed[0]}'")

    def _mask(self, record: Record) -> Path:
        return self.outputs.target / str(record.get("mask") or PurePosixPath(record["file"]).with_suffix(".png"))


def _source_of(target: Path) -> str | None:
    """Return the source that a destination was made of; None where nobody wrote it down."""
    try:
        return str(json.loads((target / _SOURCE).read_text(encoding="utf-8"))["source"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
