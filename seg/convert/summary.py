"""Totals of a bulk run, and the class weights that follow from them."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seg.convert.weights import RULES, class_weights, median_beta
from seg.files import write_json
from seg.files.manifest import Record
from seg.files.notebook import said, table
from seg.labels import IGNORE, LabelMap

_LOSSY = "{} is lossy: colours at class boundaries differ from those that were painted; ask for PNG labels"
_CLEAR = (
    "{amount} pixels of {files} files have alpha 0 and count as the class of their colour, the first {first}; "
    "transparent=ignore makes them 255"
)
_MERGED = (
    "unknown=nearest: in {files} files several unlisted colours became one class, the first {first}; look at the "
    "masks, and list the colours"
)
_ONE_CLASS = "unknown=nearest: in {files} files every pixel became one class, the first {first}, from unlisted colours"
_GROUPS = (
    "{files} files have groups of objects (iscrowd, cargroup), the first {first}; a group has no number, and no box is "
    "learnt from it"
)
NOTHING = {
    "none": "{files} images have no annotations, the first {first}; their masks are background alone",
    "fractions": "{amount} annotations of {files} images lie between 0 and 1, as fractions of the size do, the first "
    "{first}; give their corners in pixels",
    "blank": "{amount} annotations of {files} images cover no pixel, the first {first}; mend or remove them",
}
"""What to say of annotations that draw nothing, by their kind."""

_EXIF = {
    "left": "{files} label files have an EXIF orientation, the first {first}; their masks are the pixels as they are "
    "stored, while images are turned: see that mask and image agree, else save the labels upright, or give exif=ignore "
    "for tiles, and data.exif=ignore for training",
    "applied": "{files} label files have an EXIF orientation, the first {first}; their masks were turned by it, as "
    "images are: see that mask and image agree, else save the labels without it",
}
_IMAGE_EXIF = (
    "EXIF turned or mirrored {files} images, though their size does not show it, the first that of {first}; see in a "
    "picture that tiles of mask and image agree; if the labels were painted on the pixels as they are stored, give "
    "exif=ignore"
)
_NODATA = (
    "{pixels} pixels of {files} files have the value that their file declares as nodata, and count as a class, the "
    "first {first}"
)
_UNLISTED = (
    "unknown=ignore: {share:.1%} of all pixels became 255 (ignore) because the label map does not list them, most in "
    "'{first}' ({most:.1%}); are these label images, and is it their label map? check source and labels"
)
_MOST_UNLISTED = 0.9  # of the pixels; what a map ignores by name or value is listed, and does not count
_LOST = (
    "polygons: {pixels} pixels of {files} files are of another class when they are drawn, the first {first}; "
    "tolerance=0 keeps all corners"
)
_UNTOLD = (
    "{files} files have ignored pixels (255), the first {first}, which are in no region; who reads it back may take "
    "them for '{background}', as read= does unless background= names an ignored class"
)
_FIRST_FAILURES = 20


@dataclass(frozen=True)
class Summary:
    """The result of a bulk run. Pixels and images are counted over converted and skipped files alike."""

    converted: int
    skipped: int
    failed: int
    pixels: dict[str, int]
    images: dict[str, int]
    """Images in which each class occurs."""
    image_pixels: dict[str, int]
    """Labelled pixels of those images."""
    ignored: int
    transparent: int
    """Pixels of alpha 0 that count as the class of their colour."""
    warnings: tuple[str, ...]
    failures: tuple[tuple[str, str], ...]
    """The first failures: source (relative) and reason."""
    seconds: float

    @property
    def files(self) -> int:
        """Files in all."""
        return self.converted + self.skipped + self.failed

    def __repr__(self) -> str:
        facts = f"{self.files} files: {self.converted} converted, {self.skipped} unchanged, {self.failed} failed"
        labelled = sum(self.pixels.values())
        return said("Summary", facts, f"{labelled} pixels of {len(self.pixels)} classes", f"{self.ignored} ignored",
                    f"{len(self.warnings)} warnings" if self.warnings else "", f"{self.seconds} s")  # fmt: skip

    def _repr_html_(self) -> str:
        """Return the pixels and images of each class, and the first failures, for notebooks."""
        labelled = sum(self.pixels.values()) or 1
        rows = [(name, str(pixels), f"{pixels / labelled:.2%}", str(self.images[name]))
                for name, pixels in self.pixels.items()]  # fmt: skip
        failures = table("failed", ("file", "reason"), self.failures) if self.failures else ""
        return table(repr(self), ("class", "pixels", "share", "images"), rows) + failures


class Tally:
    """Totals over the records. Calls ``progress(done, failed)`` about twice a second and at the end."""

    def __init__(self, labels: LabelMap, progress: Callable[[int, int], None] | None) -> None:
        self._labels = labels
        self._progress = progress
        self._started = self._told = time.monotonic()
        self._kinds: Counter[str] = Counter()
        self._pixels: Counter[int] = Counter()
        self._images: Counter[int] = Counter()
        self._image_pixels: Counter[int] = Counter()
        self._failures: list[tuple[str, str]] = []
        self._warnings: list[str] = []
        self._odd: dict[str, tuple[str, int, int]] = {}  # by warning: the first file, how many, and of what they have
        self._transparent = 0
        self._unlisted, self._most_unlisted = 0, (0.0, "")

    def add(self, record: Record, new: bool) -> list[tuple[str, int]]:
        """Return the record's rows for counts.csv: class name and pixels."""
        failed = record["status"] == "failed"
        self._kinds["failed" if failed else "converted" if new else "skipped"] += 1
        if failed and len(self._failures) < _FIRST_FAILURES:
            self._failures.append((record["file"], record["reason"]))
        if record.get("lossy"):
            self.warn(_LOSSY.format(record["lossy"]))
        self._transparent += record.get("transparent", 0)
        if record.get("transparent"):
            self._note(_CLEAR, f"'{record['file']}'", record["transparent"])
        if record.get("exif"):
            self._note(_EXIF[record["exif"]], f"'{record['file']}'")
        if record.get("image_exif"):
            self._note(_IMAGE_EXIF, f"'{record['file']}'")
        if nodata := record.get("nodata"):
            value, pixels, index = nodata
            self._note(_NODATA, self._first_nodata(record["file"], value, index), pixels)
        if record.get("lost"):
            self._note(_LOST, f"'{record['file']}' ({record['lost'] / record['of']:.2%})", record["lost"])
        if record.get("untold"):
            self._note(_UNTOLD.replace("{background}", record["untold"]), f"'{record['file']}'")
        if record.get("groups"):
            self._note(_GROUPS, f"'{record['file']}'")
        for kind, (times, where) in (record.get("nothing") or {}).items():
            self._note(NOTHING[kind], f"'{record['file']}'" + f" ({where})" * bool(where), times)
        if merged := record.get("merged"):
            what = f"'{record['file']}' ({merged[0]} of them became '{self._labels.name_of(merged[1])}')"
            self._note(_ONE_CLASS if len(record["counts"]) == 1 else _MERGED, what)
        counts = {int(value): pixels for value, pixels in record.get("counts", {}).items()}
        if unlisted := record.get("unlisted"):
            self._unlisted += unlisted
            self._most_unlisted = max(self._most_unlisted, (unlisted / sum(counts.values()), record["file"]))
        labelled = sum(counts.values()) - counts.get(IGNORE, 0)
        for value, pixels in counts.items():
            self._pixels[value] += pixels
            self._images[value] += 1
            self._image_pixels[value] += labelled
        if time.monotonic() - self._told > 0.5:
            self.tell()
        return [(self._labels.name_of(value), pixels) for value, pixels in counts.items()]

    def warn(self, *texts: str) -> None:
        """Add warnings, each once."""
        self._warnings += [text for text in texts if text not in self._warnings]

    def _note(self, text: str, first: str, amount: int = 0) -> None:
        first, files, before = self._odd.get(text, (first, 0, 0))
        self._odd[text] = first, files + 1, before + amount

    def _first_nodata(self, file: str, value: float, index: int) -> str:
        """Name a file whose nodata value became a class, and say what makes it 255."""
        name = self._labels.name_of(index)
        (label,) = (label for label in self._labels.labels if label.name == name)
        if len(label.values) > 1:  # the class stays, with its other values
            remedy = f"take {value:g} out of the values of '{name}' in the label map"
        else:
            remedy = f"give ignore=[{name}]"
        if value in label.values:
            remedy += f" and give ignore_values=[{value:g}]"
        return f"'{file}', where {value:g} is '{name}'; if that means no data, {remedy}"

    def tell(self) -> None:
        """Call ``progress``."""
        self._told = time.monotonic()
        if self._progress:
            self._progress(self._kinds.total(), self._kinds["failed"])

    def _by_class(self, counts: Counter[int]) -> dict[str, int]:
        return {name: counts[index] for index, name in enumerate(self._labels.names)}

    def summary(self) -> Summary:
        self.tell()
        for text, (first, files, amount) in self._odd.items():
            self.warn(text.format(files=files, first=first, pixels=amount, amount=amount))
        if self._unlisted > _MOST_UNLISTED * self._pixels.total():
            most, first = self._most_unlisted
            self.warn(_UNLISTED.format(share=self._unlisted / self._pixels.total(), first=first, most=most))
        return Summary(
            converted=self._kinds["converted"],
            skipped=self._kinds["skipped"],
            failed=self._kinds["failed"],
            pixels=self._by_class(self._pixels),
            images=self._by_class(self._images),
            image_pixels=self._by_class(self._image_pixels),
            ignored=self._pixels[IGNORE],
            transparent=self._transparent,
            warnings=tuple(self._warnings),
            failures=tuple(self._failures),
            seconds=round(time.monotonic() - self._started, 3),
        )


def write_weights(path: Path, summary: Summary) -> None:
    """Write the weights by every rule, those that training computes where a loss names it."""
    pixels = list(summary.pixels.values())
    if not any(pixels):
        path.unlink(missing_ok=True)
        return
    made = {}
    for rule in RULES:
        within = list(summary.image_pixels.values()) if rule == "median_frequency" else None
        made[rule] = dict(zip(summary.pixels, class_weights(pixels, rule, images=within), strict=True))
    about = {"pixels": summary.pixels, "images": summary.images, "image_pixels": summary.image_pixels}
    write_json(path, {**made, "beta": median_beta(pixels), **about})
