"""The checks on single files and whole splits. Each yields its findings, and nothing where all is well."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from seg.audit.records import (
    Example,
    Finding,
    Look,
    Split,
    Totals,
    as_findings,
    in_words,
    named_examples,
    percent_text,
    pixels_of,
    size_text,
    text_of,
)
from seg.data.pairs import as_list
from seg.images import Reading
from seg.images.oddities import oddities
from seg.labels import LabelMap

_VOID = {"void", "unlabelled", "unlabeled", "unlabel", "unknown", "undefined", "unclassified", "ignore", "ignored"}


def totals_of(split: Split, looks: Sequence[Look], labels: LabelMap) -> Totals:
    images = [look for look in looks if not look.image_error]
    masks = [look for look in looks if not look.mask_error]
    counts = np.array([look.counts for look in masks], np.int64).reshape(len(masks), labels.classes)
    weights = np.array([look.size[0] * look.size[1] for look in images], np.float64)
    mean = std = np.full(len(images[0].mean) if images else 3, np.nan)
    if images:
        means, stds = np.array([look.mean for look in images]), np.array([look.std for look in images])
        mean = np.average(means, 0, weights)
        std = np.sqrt(np.maximum(np.average(means**2 + stds**2, 0, weights) - mean**2, 0))
    return Totals(
        name=split.name,
        images=", ".join(map(text_of, as_list(split.images))),
        masks=", ".join(map(text_of, as_list(split.masks))),
        pairs=len(looks),
        sizes=_tally(size_text(look.size) for look in images),
        kinds=_tally(look.kind for look in images),
        mask_kinds=_tally(look.mask_kind for look in masks),
        pixels=counts.sum(0).tolist(),
        images_with=(counts > 0).sum(0).tolist(),
        ignored=sum(look.ignored for look in masks),
        unlisted=sum(look.unlisted for look in masks),
        mean=mean.tolist(),
        std=std.tolist(),
    )


def _tally(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())


def check_files(split: str, looks: Sequence[Look]) -> Iterator[Finding]:
    images = [Example((text_of(look.image),), look.image_error) for look in looks if look.image_error]
    masks = [Example((text_of(look.mask),), look.mask_error) for look in looks if look.mask_error]
    for kind, bad in (("image", images), ("mask", masks)):
        text = f"{kind}s that cannot be read: {len(bad)} of {len(looks)}"
        yield from as_findings(
            f"unreadable-{kind}", "error", split, bad, text, "replace these files, or remove their pairs"
        )
    sizes = [
        Example(
            (text_of(look.image), text_of(look.mask)), f"image {size_text(look.size)}, mask {size_text(look.mask_size)}"
        )
        for look in looks
        if look.readable and look.size != look.mask_size
    ]
    text = f"masks that differ in size from their image: {len(sizes)} of {len(looks)}"
    advice = "export them again at one size; where width and height are swapped, one file lacks its EXIF rotation: "
    advice += "data.exif=ignore reads images as they are stored"
    yield from as_findings("size-mismatch", "error", split, sizes, text, advice)


def check_images(split: str, looks: Sequence[Look], reading: Reading) -> Iterator[Finding]:
    images = [look for look in looks if not look.image_error]
    for odd in oddities([look.seen for look in images], reading):
        examples = tuple(Example((text_of(images[i].image),), images[i].kind) for i in odd.images)
        severity = "note" if odd.check == "hidden-orientation" else "warning"
        yield Finding(odd.check, severity, split, odd.text, odd.advice, examples)
    sizes, kinds = [size_text(look.size) for look in images], [look.kind for look in images]
    advice = "train on crops, or resize them"
    yield from _check_mixed("mixed-sizes", "sizes of images", split, images, sizes, advice)
    advice = "all become RGB of 8 bits; make sure that this is intended"
    yield from _check_mixed("mixed-kinds", "kinds of images", split, images, kinds, advice)
    opaque = [
        Example((text_of(look.image),)) for look in images if look.kind.startswith("RGBA") and not look.transparent
    ]
    text = f"images with an alpha channel that is fully opaque: {len(opaque)} of {len(looks)}"
    yield from as_findings("alpha", "note", split, opaque, text, "nothing to do: alpha is dropped when they are read")
    clear = [
        Example((text_of(k.image),), f"{percent_text(k.transparent)} of the pixels") for k in images if k.transparent
    ]
    text = f"images with transparent pixels, whose hidden colours are trained on: {len(clear)} of {len(looks)}"
    yield from as_findings(
        "transparent", "warning", split, clear, text, "let the masks ignore these pixels, or fill them"
    )
    blank = [Example((text_of(look.image),)) for look in images if max(look.std) == 0]
    text, advice = f"images of a single colour: {len(blank)} of {len(looks)}", "remove them unless they are intended"
    yield from as_findings("blank-image", "warning", split, blank, text, advice)


def _check_mixed(
    check: str, what: str, split: str, images: Sequence[Look], kinds: Sequence[str], advice: str
) -> Iterator[Finding]:
    tally = _tally(kinds)
    if len(tally) > 1:
        text = f"{what}: {in_words([f'{kind} ({n})' for kind, n in tally.items()])}"
        examples = (Example((text_of(images[kinds.index(kind)].image),), f"{kind}: {n}") for kind, n in tally.items())
        yield Finding(check, "note", split, text, advice, tuple(examples))


def check_masks(split: str, looks: Sequence[Look], labels: LabelMap) -> Iterator[Finding]:
    masks = [look for look in looks if not look.mask_error]
    off = [Example((text_of(look.mask),), look.unlisted_reason) for look in masks if look.unlisted]
    share = sum(look.unlisted for look in masks) / max(sum(pixels_of(look) for look in masks), 1)
    shown = f"{len(off)} of {len(looks)} ({percent_text(share)} of all pixels)"
    text = f"masks with values or colours outside the map: {shown}"
    advice = "add them to the label map, or convert with seg-preprocess unknown=nearest or unknown=ignore"
    yield from as_findings("unlisted", "error", split, off, text, advice)
    lossy = [Example((text_of(look.mask),)) for look in masks if look.lossy]
    text = f"masks with lossy compression (JPEG or WebP): {len(lossy)} of {len(looks)}"
    advice = "ask for the PNG originals: the values at class boundaries differ from those that were painted"
    yield from as_findings("lossy-mask", "warning", split, lossy, text, advice)
    raw = [Example((text_of(look.mask),)) for look in masks if look.mask_kind != "mask"]
    text = f"label images where the training needs 8-bit masks: {len(raw)} of {len(looks)}"
    yield from as_findings("label-image", "note", split, raw, text, "convert them with seg-preprocess before training")
    yield from _check_single(split, masks, labels)
    yield from _check_ignored(split, masks)


def _check_single(split: str, masks: Sequence[Look], labels: LabelMap) -> Iterator[Finding]:
    single = [(look, int(look.counts.argmax())) for look in masks if (look.counts > 0).sum() == 1 and not look.unlisted]
    examples = [Example((text_of(look.mask),), f"only {labels.name_of(index)}") for look, index in single]
    classes = _tally(labels.name_of(index) for _, index in single)
    listed = in_words([f"{name} {n}" for name, n in classes.items()])
    text = f"masks of a single class: {len(single)} of {len(masks)} ({listed})"
    severity = "warning" if 2 * len(single) > len(masks) else "note"
    advice = "make sure that these are not unlabelled images"
    yield from as_findings("single-class", severity, split, examples if labels.classes > 1 else [], text, advice)


def _check_ignored(split: str, masks: Sequence[Look]) -> Iterator[Finding]:
    everywhere = [Example((text_of(look.mask),)) for look in masks if look.ignored == pixels_of(look)]
    text = f"masks of ignored pixels only: {len(everywhere)} of {len(masks)}"
    severity, advice = "warning", "nothing is learned from them: remove these pairs"
    if len(everywhere) == len(masks):
        severity, advice = "error", "nothing can be learned: check the label map and how the masks were made"
    yield from as_findings("all-ignored", severity, split, everywhere, text, advice)
    share = sum(look.ignored for look in masks) / max(sum(pixels_of(look) for look in masks), 1)
    if share >= 0.1 and severity != "error":
        most = sorted(masks, key=lambda look: -look.ignored / pixels_of(look))[:8]
        shown = tuple(Example((text_of(look.mask),), percent_text(look.ignored / pixels_of(look))) for look in most)
        severity, text = (
            "warning" if share >= 0.5 else "note",
            f"ignored share of the mask pixels: {percent_text(share)}",
        )
        yield Finding("ignored-share", severity, split, text, "make sure that this is intended", shown)


def is_binary(looks: Sequence[Look]) -> bool:
    """Whether the masks hold 0 and 255 and nothing else, which the training reads as one class and ignored pixels."""
    masks = [look for look in looks if not look.mask_error]
    return (
        all(look.mask_kind == "mask" and look.counts[1:].sum() + look.unlisted == 0 for look in masks)
        and any(look.ignored for look in masks)
        and any(look.counts[0] for look in masks)
    )


def check_binary(split: str, looks: Sequence[Look], labels: LabelMap) -> Iterator[Finding]:
    holders = [look for look in looks if look.ignored]
    examples = [
        Example((text_of(look.mask),), f"255: {percent_text(look.ignored / pixels_of(look))}") for look in holders
    ]
    text = (
        f"all {len(looks)} masks hold only 0 and 255: 255 is ignored, so the foreground is left out and everything "
        f"else is '{labels.names[0]}'"
    )
    advice = "if 255 is a class, convert with seg-preprocess and a label map that lists 255 or (255, 255, 255) for it"
    yield from as_findings("binary-255", "error", split, examples, text, advice)


def check_classes(totals: Sequence[Totals], labels: LabelMap) -> Iterator[Finding]:
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
