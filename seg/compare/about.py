"""The end of a report: what was compared, what was left out, and how to read its numbers."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from seg.compare.conditions import settings_of_axis
from seg.compare.evidence import Entry
from seg.compare.findings import Comparison
from seg.compare.study import Level, Study
from seg.compare.tables import LEGEND
from seg.metrics.scores import POLICY
from seg.report.document import Block, Bullets, Heading, Table
from seg.report.inline_markup import code
from seg.runs import as_text, tuned_keys

_ORDER = ("model", "loss", "regularizer", "augment", "optimizer", "scheduler", "average", "data")


def about(study: Study, result: Comparison) -> Iterator[Block]:
    """Yield what was compared, what made it, and what was left out."""
    yield Heading("What was compared")
    entries = study.entries
    first = entries[0]
    where = "a test set" if study.on_test else "the images of validation"
    items = [
        f"{len(entries)} runs on {len(first.images)} images, {where}; {len(first.classes)} classes",
        f"the checkpoint of the last epoch ({first.config['fit']['epochs']} epochs)",
        "the same for all: " + ", ".join(f"{k}={first.choices[k]}" for k in _ORDER if _shared(entries, k)),
        _made_by(entries),
    ]
    if keys := tuned_keys(first.config):
        tune = first.config["tune"]
        where = f"on {100 * tune['share']:g} % of the training images, without the images that are compared"
        items.append(f"tuned for each level, {tune['trials']} trials each, {where}: {', '.join(keys)}")
    if result.units != len(first.images):
        items.append(f"images are drawn in {result.units} groups")
    yield Bullets(items)
    if study.axis is not None:
        yield Table((study.axis, "settings"), list(_settings(study.levels, study.axis)))
    if study.excluded:
        yield Heading("What was left out")
        yield Table(("run", "reason"), study.excluded)


def _made_by(entries: Sequence[Entry]) -> str:
    """List versions, precision, machine, and the commit of the folder that the runs were started in."""
    first = entries[0].environment
    parts = [f"{key} {first.get(key)}" for key in ("seg", "torch", "precision")]
    gpus = first.get("gpus")
    named = Counter(map(str, gpus)) if isinstance(gpus, list) else {}
    parts += [f"{count} x {name}" for name, count in named.items()] or [f"{first.get('cpu_count')} CPU cores"]
    commits = dict.fromkeys(_commit(entry.environment.get("git")) for entry in entries)
    return ", ".join([*parts, *filter(None, commits)])


def _commit(state: object) -> str:
    if not isinstance(state, Mapping):
        return ""
    return f"started at commit {str(state.get('commit'))[:10]}{' with changes' if state.get('changed') else ''}"


def _settings(levels: Sequence[Level], axis: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each level and the settings that the axis controls."""
    for level in levels:
        settings = {k.removeprefix(f"{axis}."): v for k, v in settings_of_axis(level.entries[0], axis).items()}
        yield level.name, ", ".join(f"{key}={as_text(settings[key])}" for key in sorted(settings) if key != axis)


def _shared(entries: Sequence[Entry], key: str) -> bool:
    values = {str(entry.choices.get(key)) for entry in entries}
    return len(values) == 1 and values != {"None"}


def definitions(result: Comparison) -> Iterator[Block]:
    """Define every number that the report shows."""
    yield Heading("How to read this")
    metric = result.measure
    better = "lower is better" if metric.lower else "higher is better"
    rope = f"{metric.number(result.rope)} {metric.differences}"
    unit = "points (hundredths)" if metric.differences == "points" else metric.differences
    yield Bullets(
        [
            f"mIoU: {POLICY}",
            "boundary F1: by image, of boundaries within the tolerance of the run's evaluation; ECE: expected "
            "calibration error of the confidence of labelled pixels, over all of them (as the metric that is compared: "
            "of each image, then the mean)",
            f"compared: {metric.title}, {better}; differences are the first level minus the second, in {unit}",
            "interval: Student's t around the mean, with the variance that images and seeds give it: for new seeds, of "
            "the mean of runs with other seeds on new images, after which verdicts go; of these very runs, of the runs "
            "that are there on new images, as if nobody would train again",
            f"signs: {LEGEND} (inconclusive); {_of_brackets(result)}; where an arrow head stands at the edge of a "
            "figure, the interval goes on",
            f"verdict: better or worse if the interval for new seeds and images lies beyond {rope}, "
            "equivalent if within, else inconclusive, so that with 95 % probability all verdicts hold together "
            f"({len(result.pairs)} pairs, adjusted after Shaffer, or with a reference after Holm); with fewer than 10 "
            "seeds a pair is judged by how its own two levels scatter, which is learnt from all levels: most scatter "
            "alike, a few do not; one seed leaves it open" + _of_looks(result),
            "better / equivalent / worse: probabilities of that, as far as the t distribution holds",
            "images won, p, effect in these runs: paired over images, averaged over seeds; Wilcoxon signed rank "
            "adjusted after Holm, and the matched-pairs rank-biserial correlation; they know nothing of new seeds",
            f"rank: in the middle 95 % of {result.draws:,} draws of what the levels may truly be worth; Kendall's tau "
            f"of such a ranking with this one is {result.ranks.tau:.2f} on average; the ranks of each level hold for "
            "itself alone, where verdicts hold together",
            "probability of a false claim: the share of these draws in which another level is better than the winner; "
            "too low where all levels are closer together than seeds scatter",
        ]
    )


def _of_brackets(result: Comparison) -> str:
    """Say what a bracket joins."""
    if result.reference is not None:
        return f"a bracket joins {code(result.reference)} and the levels that it is not told apart from"
    return (
        "a bracket joins levels of which none is called better or worse than another, and two levels that no bracket "
        "joins are told apart"
    )


def _of_looks(result: Comparison) -> str:
    """Say how the 5 % were spent over several looks."""
    if (looks := result.looks) is None:
        return ""
    return f"; runs made in rounds were judged after each: after n seeds (n / {looks.most})^2 of the 5 % are spent"
