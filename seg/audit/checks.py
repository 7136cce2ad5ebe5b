"""The checks on single files and whole splits. Each yields its findings, and nothing where all is well."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from seg.audit.records import (
    Finding,
    Measurements,
    Split,
    Totals,
    as_findings,
    example_of,
    in_words,
    named_examples,
    percent_text,
    pixels_of,
    size_text,
    text_of,
)
from seg.data.pairs import as_list
from seg.data.source import check_labels
from seg.images import Reading
from seg.images.oddities import oddities
from seg.labels import LabelMap

_VOID = {"void", "unlabelled", "unlabeled", "unlabel", "unknown", "undefined", "unclassified", "ignore", "ignored"}


def totals_of(split: Split, pairs: Sequence[Measurements], labels: LabelMap) -> Totals:
    """Add up the measurements of a split."""
    images = [pair for pair in pairs if not pair.image_error]
    masks = [pair for pair in pairs if not pair.mask_error]
    counts = np.array([pair.counts for pair in masks], np.int64).reshape(len(masks), labels.classes)
    weights = np.array([pair.size[0] * pair.size[1] for pair in images], np.float64)
    mean = std = np.full(len(images[0].mean) if images else 3, np.nan)
    if images:
        means, stds = np.array([pair.mean for pair in images]), np.array([pair.std for pair in images])
        mean = np.average(means, 0, weights)
        std = np.sqrt(np.maximum(np.average(means**2 + stds**2, 0, weights) - mean**2, 0))
    return Totals(
        name=split.name,
        images=", ".join(map(text_of, as_list(split.images))),
        masks=", ".join(map(text_of, as_list(split.masks))),
        pairs=len(pairs),
        sizes=_tally(size_text(pair.size) for pair in images),
        kinds=_tally(pair.kind for pair in images),
        mask_kinds=_tally(pair.mask_kind for pair in masks),
        pixels=counts.sum(0).tolist(),
        images_with=(counts > 0).sum(0).tolist(),
        ignored=sum(pair.ignored for pair in masks),
        unlisted=sum(pair.unlisted for pair in masks),
        mean=mean.tolist(),
        std=std.tolist(),
    )


def _tally(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())


def check_label_map(split: Split, labels: LabelMap) -> Iterator[Finding]:
    """Yield the folders whose masks were made with other classes, or are of shards that were not merged."""
    for folder in as_list(split.masks):
        try:
            check_labels(labels, folder, "the label map")
        except ValueError as error:
            text, _, advice = str(error).rpartition("; ")
            yield Finding("label-map", "error", split.name, text, advice, ())


def check_files(split: str, pairs: Sequence[Measurements]) -> Iterator[Finding]:
    """Report files that cannot be read, and masks of another size than their image."""
    images = [example_of(pair.image, detail=pair.image_error) for pair in pairs if pair.image_error]
    masks = [example_of(pair.mask, detail=pair.mask_error) for pair in pairs if pair.mask_error]
    advice = "replace these files, or remove their pairs"
    for kind, bad in (("image", images), ("mask", masks)):
        text = f"{kind}s that cannot be read"
        yield from as_findings(f"unreadable-{kind}", "error", split, bad, text, advice, len(pairs))
    sizes = [
        example_of(pair.image, pair.mask, detail=f"image {size_text(pair.size)}, mask {size_text(pair.mask_size)}")
        for pair in pairs
        if pair.readable and pair.size != pair.mask_size
    ]
    text = "masks that differ in size from their image"
    advice = "export them again at one size; where width and height are swapped, one file lacks its EXIF rotation: "
    advice += "data.exif=ignore reads images as they are stored"
    yield from as_findings("size-mismatch", "error", split, sizes, text, advice, len(pairs))


def check_images(split: str, pairs: Sequence[Measurements], reading: Reading) -> Iterator[Finding]:
    """Report what is odd about images: their values, sizes, kinds, transparency."""
    images, total = [pair for pair in pairs if not pair.image_error], len(pairs)
    for odd in oddities([pair.facts for pair in images], reading):
        examples = tuple(example_of(images[i].image, detail=images[i].kind) for i in odd.images)
        severity = "note" if odd.check == "hidden-orientation" else "warning"
        yield Finding(odd.check, severity, split, odd.text, odd.advice, examples)
    sizes, kinds = [size_text(pair.size) for pair in images], [pair.kind for pair in images]
    advice = "train on crops, or resize them"
    yield from _check_mixed("mixed-sizes", "sizes of images", split, images, sizes, advice)
    advice = "all become RGB of 8 bits; make sure that this is intended"
    yield from _check_mixed("mixed-kinds", "kinds of images", split, images, kinds, advice)
    opaque = [example_of(p.image) for p in images if p.kind.startswith("RGBA") and not p.transparent]
    text = "images with an alpha channel that is fully opaque"
    advice = "nothing to do: alpha is dropped when they are read"
    yield from as_findings("alpha", "note", split, opaque, text, advice, total)
    clear = [
        example_of(pair.image, detail=f"{percent_text(pair.transparent)} of the pixels")
        for pair in images
        if pair.transparent
    ]
    text = "images with transparent pixels, whose hidden colours are trained on"
    advice = "let the masks ignore these pixels, or fill them"
    yield from as_findings("transparent", "warning", split, clear, text, advice, total)
    blank = [example_of(pair.image) for pair in images if max(pair.std) == 0]
    text, advice = "images of a single colour", "remove them unless they are intended"
    yield from as_findings("blank-image", "warning", split, blank, text, advice, total)


def _check_mixed(
    check: str, what: str, split: str, images: Sequence[Measurements], kinds: Sequence[str], advice: str
) -> Iterator[Finding]:
    tally = _tally(kinds)
    if len(tally) > 1:
        text = f"{what}: {in_words([f'{kind} ({n})' for kind, n in tally.items()])}"
        examples = (example_of(images[kinds.index(kind)].image, detail=f"{kind}: {n}") for kind, n in tally.items())
        yield Finding(check, "note", split, text, advice, tuple(examples))


def check_masks(split: str, pairs: Sequence[Measurements], labels: LabelMap) -> Iterator[Finding]:
    """Report masks that do not fit the label map, or hold little to learn from."""
    masks, total = [pair for pair in pairs if not pair.mask_error], len(pairs)
    off = [example_of(pair.mask, detail=pair.unlisted_reason) for pair in masks if pair.unlisted]
    share = sum(pair.unlisted for pair in masks) / max(sum(pixels_of(pair) for pair in masks), 1)
    text = f"masks with values or colours outside the map: {len(off)} of {total} ({percent_text(share)} of all pixels)"
    advice = "add them to the label map, or convert with seg-preprocess, which says what fits each of these files"
    yield from as_findings("unlisted", "error", split, off, text, advice)
    lossy = [example_of(pair.mask) for pair in masks if pair.lossy]
    text = "masks with lossy compression (JPEG or WebP)"
    advice = "ask for the PNG originals: the values at class boundaries differ from those that were painted"
    yield from as_findings("lossy-mask", "warning", split, lossy, text, advice, total)
    raw = [example_of(pair.mask) for pair in masks if pair.mask_kind != "mask"]
    text = "label images where the training needs 8-bit masks"
    advice = "convert them with seg-preprocess before training"
    yield from as_findings("label-image", "note", split, raw, text, advice, total)
    yield from _check_single(split, masks, labels)
    yield from _check_ignored(split, masks)


def _check_single(split: str, masks: Sequence[Measurements], labels: LabelMap) -> Iterator[Finding]:
    single = [(pair, int(pair.counts.argmax())) for pair in masks if (pair.counts > 0).sum() == 1 and not pair.unlisted]
    examples = [example_of(pair.mask, detail=f"only {labels.name_of(index)}") for pair, index in single]
    classes = _tally(labels.name_of(index) for _, index in single)
    listed = in_words([f"{name} {n}" for name, n in classes.items()])
    text = f"masks of a single class: {len(single)} of {len(masks)} ({listed})"
    severity = "warning" if 2 * len(single) > len(masks) else "note"
    advice = "make sure that these are not unlabelled images"
    yield from as_findings("single-class", severity, split, examples if labels.classes > 1 else [], text, advice)


def _check_ignored(split: str, masks: Sequence[Measurements]) -> Iterator[Finding]:
    everywhere = [example_of(pair.mask) for pair in masks if pair.ignored == pixels_of(pair)]
    text = "masks of ignored pixels only"
    severity, advice = "warning", "nothing is learned from them: remove these pairs"
    if len(everywhere) == len(masks):
        severity, advice = "error", "nothing can be learned: check the label map and how the masks were made"
    yield from as_findings("all-ignored", severity, split, everywhere, text, advice, len(masks))
    share = sum(pair.ignored for pair in masks) / max(sum(pixels_of(pair) for pair in masks), 1)
    if share >= 0.1 and severity != "error":
        most = sorted(masks, key=lambda pair: -pair.ignored / pixels_of(pair))[:8]
        shown = tuple(example_of(pair.mask, detail=percent_text(pair.ignored / pixels_of(pair))) for pair in most)
        severity = "warning" if share >= 0.5 else "note"
        text = f"ignored share of the mask pixels: {percent_text(share)}"
        yield Finding("ignored-share", severity, split, text, "make sure that this is intended", shown)


def is_binary(pairs: Sequence[Measurements]) -> bool:
    """Tell whether the masks hold 0 and 255 alone, which the training reads as one class and ignored pixels."""
    masks = [pair for pair in pairs if not pair.mask_error]
    return (
        all(pair.mask_kind == "mask" and pair.counts[1:].sum() + pair.unlisted == 0 for pair in masks)
        and any(pair.ignored for pair in masks)
        and any(pair.counts[0] for pair in masks)
    )


def check_binary(split: str, pairs: Sequence[Measurements], labels: LabelMap) -> Iterator[Finding]:
    """Report masks whose foreground is 255, which is ignored; see `is_binary`."""
    holders = [pair for pair in pairs if pair.ignored]
    details = [f"255: {percent_text(pair.ignored / pixels_of(pair))}" for pair in holders]
    examples = [example_of(pair.mask, detail=detail) for pair, detail in zip(holders, details, strict=True)]
    text = (
        f"all {len(pairs)} masks hold only 0 and 255: 255 is ignored, so the foreground is left out and everything "
        f"else is '{labels.names[0]}'"
    )
    advice = "if 255 is a class, convert with seg-preprocess and a label map that lists 255 or (255, 255, 255) for it"
    yield from as_findings("binary-255", "error", split, examples, text, advice)


def check_classes(totals: Sequence[Totals], labels: LabelMap) -> Iterator[Finding]:
    """Report classes that are absent, rare, or of a name that means void."""
    names, first = labels.names, totals[0]
    seen = {split.name: {c for c, pixels in enumerate(split.pixels) if pixels} for split in totals}
    anywhere, everywhere = set().union(*seen.values()), ", ".join(seen)
    never = named_examples(name for c, name in enumerate(names) if anywhere and c not in anywhere)
    text = f"classes in no mask: {len(never)} of {len(names)} ({in_words([e.detail for e in never])})"
    advice = "check the label map, or drop them: their IoU is undefined"
    if any(split.unlisted for split in totals):
        advice = "correct the values and colours outside the map first: these may be among them"
    yield from as_findings("class-never-seen", "warning", everywhere, never, text, advice)
    void = named_examples(names[c] for c in sorted(anywhere) if names[c].strip().casefold() in _VOID)
    listed = ", ".join(example.detail for example in void)
    text = f"classes that are trained on though their name means void: {listed}"
    yield from as_findings("void-class", "warning", everywhere, void, text, f"use ignore=[{listed}]")
    for split in totals:
        absent = named_examples(names[c] for c in sorted(anywhere - seen[split.name]))
        text = f"classes absent from {split.name} though seen elsewhere: {in_words([e.detail for e in absent])}"
        severity, advice = "warning", "this split cannot score them: split again so that each part has every class"
        if split is first:
            severity, advice = "error", "a class that is not trained on is never predicted: split again, or drop it"
        yield from as_findings("class-absent", severity, split.name, absent, text, advice)
    yield from _check_balance(first, names)


def _check_balance(split: Totals, names: Sequence[str]) -> Iterator[Finding]:
    present = {name: pixels for name, pixels in zip(names, split.pixels, strict=True) if pixels}
    most, total = max(present, key=lambda name: present[name], default=""), sum(present.values())
    rare = {name: n for name, n in sorted(present.items(), key=lambda item: item[1]) if 10 * n < present[most]}
    if rare:
        ratio = present[most] / min(rare.values())
        text = (
            f"'{most}' has {ratio:,.0f} times the pixels of '{next(iter(rare))}'; classes with less than a tenth of "
            f"its pixels: {len(rare)} of {len(present)}"
        )
        severity = "warning" if ratio >= 100 else "note"
        advice = "look at the IoU of each class, not at the accuracy; compare a weighted or region loss"
        shares = named_examples(f"{name}: {percent_text(n / total)} of the labelled pixels" for name, n in rare.items())
        yield Finding("imbalance", severity, split.name, text, advice, tuple(shares))
    few = named_examples(f"{name} ({n})" for name, n in zip(names, split.images_with, strict=True) if 0 < n < 3)
    text = f"classes in fewer than three images: {in_words([example.detail for example in few])}"
    yield from as_findings("rare-class", "warning", split.name, few, text, "label more images of them, or merge them")
