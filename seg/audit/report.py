"""The audit as one HTML page that opens from disk: no script, no other file, no network.

from seg.audit.report import write_report
write_report("audit.html", audit(splits, labels))
"""

import base64
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import seg
from seg.audit.files import open_image, open_label
from seg.audit.records import Audit, Example, Finding, Look, Totals, text_of
from seg.convert.reader import LabelReader
from seg.files import whole
from seg.labels import IGNORE, LabelMap

Image = NDArray[np.uint8]

_LISTED, _PICTURED = 5, 6  # examples of a finding: lines, and rows of pictures
_UNLISTED = (255, 0, 255)  # in pictures of masks: what the map does not list
_IGNORED = (255, 255, 255)
_OUTLINE = (40, 40, 40)  # around a class: a gray one would not stand out by its colour
_NOT_WORTH_A_PICTURE = {"alpha", "label-image", "unreadable-image", "unreadable-mask"}

_CSS = """
:root { color-scheme: light }
* { box-sizing: border-box; print-color-adjust: exact; -webkit-print-color-adjust: exact }
body { margin: 0 auto; max-width: 1000px; padding: 32px 28px 64px; background: #fff; color: #1f2328;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif }
h1 { font-size: 26px; margin: 0 0 2px; font-weight: 650 }
h2 { font-size: 19px; margin: 40px 0 10px; padding-bottom: 5px; border-bottom: 1px solid #d8dee4; font-weight: 650 }
h3 { font-size: 15px; margin: 0; font-weight: 600 }
p { margin: 4px 0 }
.muted, figcaption, .meta { color: #656d76; font-size: 13px }
code, .file { font: 12.5px/1.45 ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere }
.verdict { margin: 18px 0 8px; padding: 14px 18px; border-left: 5px solid; border-radius: 4px }
.verdict b { display: block; font-size: 19px }
.verdict.fit { border-color: #2d8a4e; background: #eef8f1 }
.verdict.error { border-color: #c1352b; background: #fdf0ef }
.verdict.warning { border-color: #c08a00; background: #fdf8e8 }
article { margin: 12px 0; padding: 10px 14px 12px; border: 1px solid #d8dee4; border-left-width: 4px;
  border-radius: 4px; break-inside: avoid }
article.error { border-left-color: #c1352b } article.warning { border-left-color: #c08a00 }
article.note { border-left-color: #8c96a0 }
.advice { margin: 2px 0 4px }
ul { margin: 6px 0 0; padding-left: 18px } li { margin: 1px 0 }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 600; font-size: 13px; color: #424a53; border-bottom: 1px solid #b6bec7 }
th, td { padding: 5px 10px 5px 0; vertical-align: middle } td { border-bottom: 1px solid #eaeef2 }
tr { break-inside: avoid } .number { text-align: right; white-space: nowrap }
.number + :not(.number) { padding-left: 16px }
.swatch { display: inline-block; width: 13px; height: 13px; border-radius: 3px; border: 1px solid #0003;
  vertical-align: -2px; margin-right: 7px }
.track { display: inline-block; width: 110px; height: 10px; background: #eff2f5; border-radius: 2px;
  vertical-align: middle; margin-right: 8px }
.bar { display: block; height: 10px; background: #4a78a8; border-radius: 2px; min-width: 1px }
.absent { color: #c1352b; font-weight: 600 }
.pictures { display: flex; flex-wrap: wrap; gap: 12px; margin-top: 10px }
figure { margin: 0; break-inside: avoid } figure img { display: block; border: 1px solid #d8dee4 }
figure .row { display: flex; gap: 3px } figcaption { max-width: 290px; overflow-wrap: anywhere; margin-top: 3px }
.class { display: grid; grid-template-columns: 150px 1fr; gap: 12px; padding: 10px 0; border-bottom: 1px solid #eaeef2;
  break-inside: avoid }
.class .pictures { margin: 0; flex-wrap: nowrap } .class figure { flex: 0 1 220px; min-width: 0 }
.class img { max-width: 100%; height: auto }
@media print { body { padding: 0; font-size: 12px } h2 { break-after: avoid } }
"""


def write_report(path: str | os.PathLike[str], audit: Audit) -> None:
    """Write the page, whole or not at all. The pictures are read again: a few of each finding and class.

    Raises:
        OSError: the file cannot be written.
    """
    page = "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Dataset audit</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{_CSS}</style></head><body>",
            *_head(audit),
            *_findings(audit),
            *_class_table(audit),
            *_colors(audit),
            *_overlays(audit),
            "</body></html>\n",
        ]
    )
    with whole(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")  # file names need not be text


def verdict(audit: Audit) -> tuple[str, str, str]:
    """Severity (``error``, ``warning`` or ``fit``), the answer, and a sentence about it."""
    errors, warnings, notes = (audit.count(severity) for severity in ("error", "warning", "note"))
    rest = f"{_count(warnings, 'warning')} and {_count(notes, 'note')}"
    if errors:
        return "error", "Not fit to train on", f"{_count(errors, 'error')} to mend first; {rest} besides."
    if warnings:
        return "warning", "Fit to train on, with reservations", f"No errors; {rest} to look at."
    return "fit", "Fit to train on", f"No errors, no warnings; {_count(notes, 'note')}."


def _head(audit: Audit) -> Iterator[str]:
    kind, answer, sentence = verdict(audit)
    pairs = sum(totals.pairs for totals in audit.totals)
    yield f"<h1>Dataset audit</h1><p class=muted>{_count(pairs, 'pair')} of image and mask, "
    yield f"{_count(audit.labels.classes, 'class', 'classes')}; seg {escape(seg.__version__)}</p>"
    yield f'<div class="verdict {kind}"><b>{answer}</b>{sentence}</div>'
    yield "<table><tr><th>split<th>folders<th class=number>pairs<th>image sizes<th class=number>labelled"
    yield "<th class=number>ignored<th class=number>unlisted</tr>"
    for totals in audit.totals:
        pixels = max(sum(totals.pixels) + totals.ignored + totals.unlisted, 1)
        shares = (sum(totals.pixels), totals.ignored, totals.unlisted)
        yield f"<tr><td>{escape(totals.name)}<td class=file>{escape(totals.images)}<br>{escape(totals.masks)}"
        yield f"<td class=number>{totals.pairs:,}<td>{_few(totals.sizes)}"
        yield "".join(f"<td class=number>{_percent(n / pixels)}" for n in shares) + "</tr>"
    yield "</table>"


def _findings(audit: Audit) -> Iterator[str]:
    pictures = _Pictures(audit)
    for severity, title in (("error", "Errors"), ("warning", "Warnings"), ("note", "Notes")):
        found = [finding for finding in audit.findings if finding.severity == severity]
        if found:
            yield f"<h2>{title}</h2>"
        for finding in found:
            yield from _finding(finding, pictures)


def _finding(finding: Finding, pictures: "_Pictures") -> Iterator[str]:
    text = finding.text[:1].upper() + finding.text[1:]
    yield f"<article class={finding.severity}><h3>{escape(text)}</h3>"
    yield f"<p class=advice>{escape(finding.advice[:1].upper() + finding.advice[1:])}.</p>"
    yield f"<p class=meta>{escape(finding.split)} &middot; {finding.check}</p><ul>"
    listed = finding.check == "imbalance" or any(example.files for example in finding.examples)
    for example in finding.examples[: _LISTED if listed else 0]:
        files = " &middot; ".join(f"<span class=file>{escape(file)}</span>" for file in example.files[:4])
        yield f"<li>{files}{' &ndash; ' if files and example.detail else ''}{escape(example.detail)}</li>"
    if listed and finding.count > _LISTED:
        yield f"<li class=muted>and {finding.count - _LISTED:,} more in audit.json</li>"
    yield "</ul>"
    if finding.check not in _NOT_WORTH_A_PICTURE:
        shown = [example for example in finding.examples if example.files][:_PICTURED]
        figures = [figure for example in shown if (figure := pictures.row(example))]
        yield f"<div class=pictures>{''.join(figures)}</div>" if figures else ""
    yield "</article>"


def _class_table(audit: Audit) -> Iterator[str]:
    labels = audit.labels
    yield "<h2>Classes</h2><p class=muted>Share of the labelled pixels, and number of images that hold the class.</p>"
    yield "<table><tr><th>class" + "".join(f"<th>{escape(t.name)}<th class=number>images" for t in audit.totals)
    shares = [[pixels / max(sum(t.pixels), 1) for pixels in t.pixels] for t in audit.totals]
    longest = max((share for split in shares for share in split), default=0) or 1
    for index, name in enumerate(labels.names):
        cells = (_class_cell(t, shares[i][index], index, longest) for i, t in enumerate(audit.totals))
        yield f"<tr><td>{_swatch(labels.palette[index])}{escape(name)}{''.join(cells)}</tr>"
    yield "</table>"


def _class_cell(totals: Totals, share: float, index: int, longest: float) -> str:
    bar = f'<span class=bar style="width:{100 * share / longest:.2f}%"></span>' if share else ""
    number = _percent(share) if share else "<span class=absent>absent</span>"
    return (
        f"<td><span class=track>{bar}</span>{number}<td class=number>{totals.images_with[index]:,} of {totals.pairs:,}"
    )


def _colors(audit: Audit) -> Iterator[str]:
    yield "<h2>Colours of the images</h2><p class=muted>Mean and standard deviation of red, green and blue over all "
    yield "pixels, scaled to 0..1: the normalisation of one's own data.</p>"
    yield "<table><tr><th>split<th>mean<th>standard deviation<th>kinds of images</tr>"
    for totals in audit.totals:
        mean, std = (", ".join(f"{value:.4f}" for value in values) for values in (totals.mean, totals.std))
        swatch = _swatch([round(255 * value) for value in totals.mean]) if totals.kinds else ""
        yield f"<tr><td>{escape(totals.name)}<td>{swatch}<code>[{mean}]</code><td><code>[{std}]</code>"
        yield f"<td>{_few(totals.kinds)}</tr>"
    yield "</table>"


def _overlays(audit: Audit) -> Iterator[str]:
    """Of each class the images where it fills most, a middling and the smallest part."""
    labels, looks = audit.labels, [look for split in audit.looks for look in split]
    yield "<h2>What the classes look like</h2><p class=muted>The class in its colour, everything else faded: where it "
    yield "fills the largest, the middle and the smallest share of an image that holds it.</p>"
    whole_looks = [look for look in looks if look.readable and look.size == look.mask_size]
    chosen = [(index, look) for index in range(labels.classes) for look in _spread(whole_looks, index)]
    with ThreadPoolExecutor() as pool:
        drawn = list(pool.map(lambda job: _overlay(job[1], job[0], labels), chosen))
    for index, name in enumerate(labels.names):
        figures = [figure for (wanted, _), figure in zip(chosen, drawn, strict=True) if wanted == index]
        body = f"<div class=pictures>{''.join(figures)}</div>" if figures else "<span class=absent>in no mask</span>"
        yield f"<div class=class><div>{_swatch(labels.palette[index])}{escape(name)}</div>{body}</div>"


def _spread(looks: Iterable[Look], index: int) -> list[Look]:
    holders = sorted((look for look in looks if look.counts[index]), key=lambda look: -_share(look, index))
    places = sorted({0, len(holders) // 2, len(holders) - 1}) if holders else []
    return [holders[place] for place in places]


def _share(look: Look, index: int) -> float:
    return float(look.counts[index]) / (look.mask_size[0] * look.mask_size[1])


def _overlay(look: Look, index: int, labels: LabelMap) -> str:
    image, mask = open_image(look.image)[0], _mask_of(look, labels)[0]
    small = _shrink(image, 220)
    size = small.shape[1], small.shape[0]
    here = cv2.resize((mask == index).astype(np.float32), size, interpolation=cv2.INTER_AREA)[..., None]
    here = np.where(here > 0, np.maximum(here, 0.5), 0)  # a class of few pixels stays visible
    gray = cv2.cvtColor(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    tinted = 0.55 * small + 0.45 * np.array(labels.palette[index])
    picture = here * tinted + (1 - here) * (0.35 * gray + 0.65 * 255)
    plane = (here[..., 0] > 0.5).astype(np.uint8)
    picture[cv2.dilate(plane, np.ones((3, 3), np.uint8)) > plane] = _OUTLINE
    return (
        f"<figure>{_img(picture)}<figcaption>{escape(look.name)}, {_percent(_share(look, index))}</figcaption></figure>"
    )


class _Pictures:
    """Pictures of the files that a finding names; a mask is shown beside its image."""

    def __init__(self, audit: Audit) -> None:
        self._labels = audit.labels
        looks = [look for split in audit.looks for look in split]
        self._images = {text_of(look.image): look for look in looks}
        self._masks = {text_of(look.mask): look for look in looks}

    def row(self, example: Example) -> str:
        """A figure of up to four files side by side; empty if none can be shown."""
        files = example.files[:4]
        if len(files) == 1 and files[0] in self._masks:
            files = (text_of(self._masks[files[0]].image), *files)
        shown = [picture for file in files if (picture := self._picture(file, 104 if len(files) > 2 else 142))]
        caption = escape(" / ".join(dict.fromkeys(self._name(file) for file in files)))
        return (
            f"<figure><div class=row>{''.join(shown)}</div><figcaption>{caption}</figcaption></figure>" if shown else ""
        )

    def _name(self, file: str) -> str:
        look = self._images.get(file) or self._masks.get(file)
        return look.name if look else file

    def _picture(self, file: str, side: int) -> str:
        try:
            if file in self._images:
                return _img(_shrink(open_image(self._images[file].image)[0], side))
            if file in self._masks:
                return _img(_shrink(_painted(self._masks[file], self._labels), side))
        except (OSError, ValueError, cv2.error):
            return ""
        return ""


def _mask_of(look: Look, labels: LabelMap) -> tuple[Image, int]:
    found = open_label(look.mask, LabelReader(labels, unknown="ignore"), look.mask_kind == "mask")
    return found.mask, found.unlisted


def _painted(look: Look, labels: LabelMap) -> Image:
    """The mask in the colours of the map; ignored pixels are white, and magenta where anything is not listed."""
    mask, unlisted = _mask_of(look, labels)
    table = np.zeros((256, 3), np.uint8)
    table[: labels.classes] = labels.palette
    table[IGNORE] = _UNLISTED if unlisted and not look.ignored else _IGNORED
    return np.asarray(table[mask], np.uint8)


def _shrink(image: Image, side: int) -> Image:
    """At most ``side`` pixels wide and high; small ones are enlarged to half of it at least, in whole steps."""
    height, width = image.shape[:2]
    factor = min(side / width, side / height)
    if factor >= 2:
        return image.repeat(int(factor), 0).repeat(int(factor), 1)
    size = max(1, round(width * min(factor, 1))), max(1, round(height * min(factor, 1)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _img(picture: NDArray[Any]) -> str:
    pixels = np.ascontiguousarray(picture[..., ::-1].clip(0, 255).astype(np.uint8))
    data = base64.b64encode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()).decode()
    height, width = pixels.shape[:2]
    return f'<img width={width} height={height} alt="" src="data:image/jpeg;base64,{data}">'


def _swatch(color: Sequence[int]) -> str:
    return f'<span class=swatch style="background:rgb({color[0]},{color[1]},{color[2]})"></span>'


def _few(tally: dict[str, int], most: int = 3) -> str:
    words = [f"{escape(word)} ({n:,})" if len(tally) > 1 else escape(word) for word, n in list(tally.items())[:most]]
    more = f"<br>and {len(tally) - most} more" if len(tally) > most else ""
    return "<br>".join(words) + more


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def _percent(share: float) -> str:
    return f"{100 * share:.{0 if share in (0, 1) else 2 if share < 0.1 else 1}f} %"
