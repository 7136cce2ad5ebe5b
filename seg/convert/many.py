"""Annotation files that describe many images each: an image counts as a source of its own."""

import os
from abc import abstractmethod
from collections import defaultdict
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from seg.convert.annotations import AnnotationReader
from seg.convert.sources import Source, list_sources
from seg.files import checks
from seg.labels import LabelMap


class ManyReader(AnnotationReader):
    """Reads files of many images as masks, see `AnnotationReader`.

    Args:
        names: ``path``: a mask has the path that the file gives for its image; ``last``: the last part of it alone, of
            paths that begin elsewhere.

    Raises:
        ValueError: an option out of range.
    """

    def __init__(self, labels: LabelMap, *, names: str = "path", **options: Any) -> None:
        checks.choice("names", names, ("path", "last"))
        super().__init__(labels, **options)
        self.last = names == "last"
        if self.last:
            self.options["names"] = names

    @abstractmethod
    def parts(self, file: Source) -> list[Source]:
        """List the images of a file, each with its `Part` of it or with the reason why there is none."""

    def sources(self, source: Path, destination: Path, pattern: str) -> list[Source]:
        """List a source for each image of the files below a folder, or of one file.

        Raises:
            ValueError: the folders do not fit, or there is no such file.
        """
        if not source.is_file():
            files = list(list_sources(source, destination, pattern, self.suffixes))
        elif destination.resolve() == source.resolve().parent:
            raise ValueError(
                f"destination: expected another folder than that of source, got '{destination}', where masks might "
                "replace images; give another folder"
            )
        else:
            files = [Source(source, source.name, source.name)]
        found = [part for file in files for part in ([file] if file.reason else self.parts(file))]
        names = defaultdict(list)
        for part in found:
            names[part.mask].append(part.name)
        for number, part in enumerate(found):
            if part.mask and len(same := names[part.mask]) > 1 and not part.reason:
                which = f"{len(same)} images of that name" if self.last else " and ".join(same[:3])
                remedy = "leave names=last out, or rename all but one" if self.last else "rename or remove all but one"
                reason = f"{which} would write one mask, {part.mask}; {remedy}"
                found[number] = part._replace(reason=reason)
        return found


def name_of(file_name: Any, last: bool, key: str = "file_name") -> tuple[str, str]:
    """Return the name of an image as a path within the folder, or "" and the reason why it has none.

    Args:
        last: only the last part of the path.
        key: what the file calls it, for the reason.
    """
    path = PurePosixPath(file_name.replace("\\", "/")) if isinstance(file_name, str) else PurePosixPath()
    path = PurePosixPath(path.name) if last else path
    inside = path.name and not path.is_absolute() and ".." not in path.parts and ":" not in path.parts[0]
    with suppress(ValueError):  # half of a surrogate pair
        if inside and b"\0" not in os.fsencode(path):
            return str(path), ""
    advice = "shorten it" if last else "shorten it, or use names=last, its last part alone"
    return "", f"{key}: expected a path below the folder of the file, got {file_name!r}; {advice}"
