"""The audit as one HTML page that opens from disk: no script, no other file, no network.

from seg.audit.report import write_report
write_report("audit.html", audit(splits, labels))
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from seg import __version__
from seg.audit.pictures import Pictures, highlighted
from seg.audit.records import Audit, Example, Finding, Measurements, Totals, percent_text, pixels_of
from seg.files import write_json
from seg.files.claims import claim
from seg.report.html import Html, bar, element, figure, join, lines, page, swatch, table, write

_LISTED, _PICTURED = 5, 6  # examples of a finding: lines, and rows of pictures
_NOT_WORTH_A_PICTURE = {"alpha", "label-image", "unreadable-image", "unreadable-mask"}
_DOT = " · "
_KEYS = ("version", "splits", "findings")  # of audit.json, in every version

_STYLE = """
.verdict { margin: 18px 0 8px; padding: 14px 18px; border-left: 5px solid; border-radius: 4px }
.verdict b { display: block; font-size: 19px }
.verdict.fit { border-color: var(--good); background: var(--good-ground) }
.verdict.error { border-color: var(--error); background: var(--error-ground) }
.verdict.warning { border-color: var(--warning); background: var(--warning-ground) }
article { margin: 12px 0; padding: 10px 14px 12px; border: 1px solid var(--line); border-left-width: 4px;
  border-radius: 4px; break-inside: avoid }
article.error { border-left-color: var(--error) } article.warning { border-left-color: var(--warning) }
article.note { border-left-color: var(--note) }
.advice { margin: 2px 0 4px } .absent { color: var(--error); font-weight: 600 }
figcaption { max-width: 290px }
.class { display: grid; grid-template-columns: 150px 1fr; gap: 12px; padding: 10px 0;
  border-bottom: 1px solid var(--faint); break-inside: avoid }
.class .pictures { margin: 0; flex-wrap: nowrap } .class figure { flex: 0 1 220px; min-width: 0 }
@media (max-width: 600px) { .class { grid-template-columns: 1fr } }
"""


def write_files(destination: Path, audit: Audit, *, overwrite: bool = False) -> None:
    """Write ``audit.json`` and ``audit.html`` into a folder.

    Args:
        overwrite: replace files that no audit wrote.

    Raises:
        ValueError: such files are there, or the folder cannot be made.
    """
    data, page = (destination / name for name in ("audit.json", "audit.html"))
    claim("seg-audit", {destination: (data, page)}, {data.name: _KEYS}, overwrite=overwrite)
    write_json(data, audit.to_dict())
    write_report(page, audit)


def write_report(path: str | os.PathLike[str], audit: Audit) -> None:
    """Write the page, whole or not at all. The pictures are read again: a few of each finding and class.

    Raises:
        OSError: the file cannot be written.
    """
    content = (*_head(audit), *_findings(audit), *_class_table(audit), *_colors(audit), *_overlays(audit))
    write(path, page("Dataset audit", *content, style=_STYLE))


def verdict(audit: Audit) -> tuple[str, str, str]:
    """Return severity (``error``, ``warning`` or ``fit``), the answer, and a sentence about it."""
    errors, warnings, notes = (audit.count(severity) for severity in ("error", "warning", "note"))
    rest = f"{_count(warnings, 'warning')} and {_count(notes, 'note')}"
    if errors:
        return "error", "Not fit to train on", f"{_count(errors, 'error')} to fix first, {rest} besides."
    if warnings:
        return "warning", "Fit to train on, with reservations", f"No errors; {rest} to look at."
    return "fit", "Fit to train on", f"No errors, no warnings; {_count(notes, 'note')}."


def _head(audit: Audit) -> Iterator[Html]:
    kind, answer, sentence = verdict(audit)
    pairs = _count(sum(totals.pairs for totals in audit.totals), "pair")
    classes = _count(audit.labels.classes, "class", "classes")
    yield element("h1", "Dataset audit")
    yield element("p", f"{pairs} of image and mask, {classes}; seg {__version__}", class_="muted")
    yield element("div", element("b", answer), sentence, class_=f"verdict {kind}")
    header = ("split", "folders", "pairs", "image sizes", "labelled", "ignored", "unlisted")
    yield table(header, map(_split_row, audit.totals), numbers={2, 4, 5, 6})


def _split_row(totals: Totals) -> Sequence[str]:
    shown = (sum(totals.pixels), totals.ignored, totals.unlisted)
    folders = element("span", lines((totals.images, totals.masks)), class_="file")
    shares = (percent_text(pixels / max(sum(shown), 1)) for pixels in shown)
    return totals.name, folders, f"{totals.pairs:,}", _few(totals.sizes), *shares


def _findings(audit: Audit) -> Iterator[Html]:
    pictures = Pictures(audit)
    for severity, title in (("error", "Errors"), ("warning", "Warnings"), ("note", "Notes")):
        findings = [finding for finding in audit.findings if finding.severity == severity]
        if findings:
            yield element("h2", title)
        for finding in findings:
            yield _finding(finding, pictures)


def _finding(finding: Finding, pictures: Pictures) -> Html:
    parts = [
        element("h3", _capital(finding.text)),
        element("p", f"{_capital(finding.advice)}.", class_="advice"),
        element("p", f"{finding.split}{_DOT}{finding.check}", class_="muted"),
    ]
    if finding.check == "imbalance" or any(example.files for example in finding.examples):
        items = [element("li", _example(example)) for example in finding.examples[:_LISTED]]
        if finding.count > _LISTED:
            items.append(element("li", f"and {finding.count - _LISTED:,} more in audit.json", class_="muted"))
        parts.append(element("ul", *items))
    if finding.check not in _NOT_WORTH_A_PICTURE:
        shown = [example.files for example in finding.examples if example.files][:_PICTURED]
        rows = [row for files in shown if (row := _row(files[:4], pictures))]
        parts += [element("div", *rows, class_="pictures")] if rows else []
    return element("article", *parts, class_=finding.severity)


def _example(example: Example) -> Html:
    files = join((element("span", file, class_="file") for file in example.files[:4]), _DOT)
    return join([part for part in (files, example.detail) if part], " – ")  # noqa: RUF001 - a dash


def _row(files: tuple[str, ...], pictures: Pictures) -> Html:
    """Show up to four files side by side; empty if none can be shown."""
    files = pictures.with_image(files)
    side = 104 if len(files) > 2 else 142
    shown = [picture for file in files if (picture := pictures.of(file, side))]
    caption = " / ".join(dict.fromkeys(map(pictures.name, files)))
    return figure(*shown, caption=caption) if shown else Html()


def _class_table(audit: Audit) -> Iterator[Html]:
    labels, splits = audit.labels, audit.totals
    yield element("h2", "Classes")
    yield element("p", "Share of the labelled pixels, and number of images that hold the class.", class_="muted")
    header = ["class", *(cell for totals in splits for cell in (totals.name, "images"))]
    shares = [[pixels / max(sum(totals.pixels), 1) for pixels in totals.pixels] for totals in splits]
    longest = max((share for split in shares for share in split), default=0) or 1
    rows = []
    for index, name in enumerate(labels.names):
        cells: list[str] = [join((swatch(labels.palette[index]), name))]
        for totals, split in zip(splits, shares, strict=True):
            share = split[index]
            number = percent_text(share) if share else element("span", "absent", class_="absent")
            cells += [join((bar(share / longest), number)), f"{totals.images_with[index]:,} of {totals.pairs:,}"]
        rows.append(cells)
    yield table(header, rows, numbers=range(2, len(header), 2))


def _colors(audit: Audit) -> Iterator[Html]:
    yield element("h2", "Colours of the images")
    names = "red, green and blue" if audit.reading.is_rgb else f"the chosen bands ({audit.reading.text()})"
    about = f"Mean and standard deviation of {names} over all pixels, scaled to 0..1: the normalisation of your data."
    yield element("p", about, class_="muted")
    rows = []
    for totals in audit.totals:
        mean, std = ("[" + ", ".join(f"{value:.4f}" for value in values) + "]" for values in (totals.mean, totals.std))
        shown = totals.kinds and len(totals.mean) == 3
        color = [swatch([round(255 * value) for value in totals.mean])] if shown else []
        rows.append((totals.name, join((*color, element("code", mean))), element("code", std), _few(totals.kinds)))
    yield table(("split", "mean", "standard deviation", "kinds of images"), rows)


def _overlays(audit: Audit) -> Iterator[Html]:
    """Show the images where each class fills the largest, the middle and the smallest share."""
    labels, pairs = audit.labels, [pair for split in audit.pairs for pair in split]
    yield element("h2", "What the classes look like")
    about = "The class in its colour, everything else faded: where it fills the largest, the middle and the smallest "
    yield element("p", about + "share of an image that holds it.", class_="muted")
    paired = [pair for pair in pairs if pair.readable and pair.size == pair.mask_size]
    chosen = [(pair, index) for index in range(labels.classes) for pair in _spread(paired, index)]
    with ThreadPoolExecutor() as pool:
        drawn = list(pool.map(lambda job: highlighted(job[0], job[1], labels, audit.reading), chosen))
    figures: list[list[Html]] = [[] for _ in labels.names]
    for (pair, index), picture in zip(chosen, drawn, strict=True):
        figures[index].append(figure(picture, caption=f"{pair.name}, {percent_text(_share(pair, index))}"))
    for color, name, shown in zip(labels.palette, labels.names, figures, strict=True):
        body = element("div", *shown, class_="pictures") if shown else element("span", "in no mask", class_="absent")
        yield element("div", element("div", swatch(color), name), body, class_="class")


def _spread(pairs: Iterable[Measurements], index: int) -> list[Measurements]:
    holders = sorted((pair for pair in pairs if pair.counts[index]), key=lambda pair: -_share(pair, index))
    places = sorted({0, len(holders) // 2, len(holders) - 1}) if holders else []
    return [holders[place] for place in places]


def _share(pair: Measurements, index: int) -> float:
    return float(pair.counts[index]) / pixels_of(pair)


def _few(tally: dict[str, int], most: int = 3) -> Html:
    words = [f"{word} ({n:,})" if len(tally) > 1 else word for word, n in list(tally.items())[:most]]
    return lines([*words, f"and {len(tally) - most} more"] if len(tally) > most else words)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"
