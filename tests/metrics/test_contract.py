"""What every metric keeps: those of ``conf/metric``, newcomers included, and the example of `seg.metrics`.

python -m pytest tests/metrics/test_contract.py
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import shown_files
from torch import Tensor

import seg.metrics
from seg.commands.metrics import wanted_metrics
from seg.metrics import Metric
from seg.metrics.meters import Meter, Pass
from seg.metrics.wanted import Wanted, build, catalogue, check_meter

CONF = Path(__file__).resolve().parents[2] / "conf" / "metric"
IMAGES, NAMES = 6, ("sky", "road", "car")


def enrolled() -> dict[str, dict[str, Any]]:
    found = {path.stem: yaml.safe_load(path.read_text()) for path in CONF.glob("*.yaml") if path.stem != "default"}
    own = yaml.safe_load(shown_files(seg.metrics)["my_conf/metric/regions.yaml"])
    return {**found, "regions": own}


@pytest.fixture(autouse=True)
def _own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_regions.py").write_text(shown_files(seg.metrics)["my_regions.py"])
    monkeypatch.syspath_prepend(tmp_path)


def known(images: int = IMAGES) -> dict[str, Any]:
    def loss(logits: Tensor, mask: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(logits, mask.long(), ignore_index=255)

    return {"images": images, "names": NAMES, "classes": len(NAMES), "loss": loss, "final": True}


def meter(name: str) -> Meter:
    """One metric of conf/metric as a run builds it: an option may be a mapping of several entries."""
    (wanted,) = wanted_metrics(enrolled()[name])
    made = wanted.make(**{key: value for key, value in known().items() if key in wanted.takes})
    check_meter(f"metric.{name}", made)
    return made


def scored(name: str, meter: Meter) -> dict[str, Any]:
    """The scores of a meter, which are those that its ``metrics`` describe."""
    scores = meter.scores(meter.totals())
    described = [metric.name for metric in meter.metrics]
    assert list(scores) == described, f"{name}: return from scores() what metrics describes, in its order"
    return scores


def batch() -> tuple[Tensor, Tensor]:
    """Logits that are often right, and masks with ignored pixels."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(IMAGES, 48, 64, dtype=torch.uint8)
    for image in range(IMAGES):
        mask[image, 20 + image :] = 1
        mask[image, 5:15, 8 : 30 + image] = 2
        mask[image, 40:44, 8:20] = 2
    logits = 2 * torch.nn.functional.one_hot(mask.long(), 3).permute(0, 3, 1, 2)
    logits = logits + torch.randn(logits.shape, generator=generator)
    mask[:, 18:21] = 255
    return logits, mask


def counted(meter: Meter, logits: Tensor, mask: Tensor, parts: list[list[int]]) -> Meter:
    feed = Pass([meter])
    for part in parts:
        feed.logits(logits[part], mask[part], torch.tensor(part))
    return meter


METRICS = sorted(enrolled())


@pytest.mark.parametrize("name", METRICS)
def test_totals_add_up_over_any_split(name: str) -> None:
    """And so two processes, each with a part of the images, are one."""
    logits, mask = batch()
    whole = counted(meter(name), logits, mask, [[0, 1, 2, 3, 4, 5]])
    first, second = (counted(meter(name), logits, mask, parts) for parts in ([[3, 1], [0]], [[2], [5, 4]]))
    summed = {key: total + second.totals()[key] for key, total in first.totals().items()}
    assert summed.keys() == whole.totals().keys() != set(), f"{name}: return the same totals, whatever was counted"
    for key, total in whole.totals().items():
        hint = f"{name}: totals {key!r} of two parts do not add up to those of all: count each image for itself"
        torch.testing.assert_close(
            summed[key], total, rtol=1e-12, atol=0, equal_nan=True, msg=lambda text, hint=hint: f"{hint}\n{text}"
        )
    assert repr(rounded(whole.scores(summed))) == repr(rounded(whole.scores(whole.totals())))


def rounded(value: Any) -> Any:
    return {key: rounded(item) for key, item in value.items()} if isinstance(value, dict) else round(value, 9)


@pytest.mark.parametrize("name", METRICS)
def test_scores_are_what_the_catalogue_says(name: str) -> None:
    one = counted(meter(name), *batch(), [[0, 1, 2], [3, 4, 5]])
    scores = scored(name, one)
    for metric in one.metrics:
        kind = dict if metric.by_class else float
        assert isinstance(scores[metric.name], kind), f"{metric.name}: return a {kind.__name__}, or correct by_class"


@pytest.mark.parametrize("name", METRICS)
def test_a_perfect_prediction_has_the_best_value(name: str) -> None:
    logits, mask = batch()
    perfect = 100.0 * torch.nn.functional.one_hot(mask.long().clamp(max=2), 3).permute(0, 3, 1, 2).float()
    worse, best = (counted(meter(name), some, mask, [[0, 1, 2], [3, 4, 5]]) for some in (logits, perfect))
    for metric in best.metrics:
        values = (scored(name, some)[metric.name] for some in (best, worse))
        ours, others = (list(v.values()) if isinstance(v, dict) else [v] for v in values)
        for mine, other in zip(ours, others, strict=True):
            if not np.isnan(mine):
                best_value = 0 if metric.lower else 1
                hint = f"{metric.name}: expected {best_value} where all is right, got {mine:g}, and {other:g} elsewhere"
                assert mine == pytest.approx(best_value, abs=1e-6), f"{hint}; correct scores(), or better="
                assert metric.sign * mine >= metric.sign * other, f"{hint}; correct scores(), or better="


@pytest.mark.parametrize("name", METRICS)
def test_ignored_pixels_have_no_influence(name: str) -> None:
    logits, mask = batch()
    other = torch.where((mask == 255)[:, None], logits.flip(1) * 50 - 3, logits)
    assert (other != logits).any()
    one, two = (counted(meter(name), some, mask, [[0, 1, 2], [3, 4, 5]]) for some in (logits, other))
    for key, total in one.totals().items():
        hint = f"{name}: totals {key!r} change with what is predicted at ignored pixels: leave out target == 255"
        torch.testing.assert_close(
            two.totals()[key],
            total,
            rtol=1e-6,
            atol=1e-9,
            equal_nan=True,
            msg=lambda text, hint=hint: f"{hint}\n{text}",
        )


SUMMED = {"miou", "accuracy", "ece", "boundary_iou", "error_missed", "error_boundary", "error_extent"}
"""Scores of pixels that are summed over images first, so that they are no means of the values of images."""


@pytest.mark.parametrize("name", METRICS)
def test_columns_average_to_the_score(name: str) -> None:
    one = counted(meter(name), *batch(), [[0, 1, 2], [3, 4, 5]])
    scores = scored(name, one)
    for metric, class_name, values in one.per_image(one.totals()):
        assert values.shape == (IMAGES,), f"{metric}: yield a value of each image, NaN where there is none"
        assert class_name in ("", *NAMES), f"{metric}: yield the name of a class, or an empty text"
        score = scores.get(f"{metric}_i", scores.get(metric))
        if not class_name and "@" not in metric and (f"{metric}_i" in scores or metric not in SUMMED):
            hint = f"{metric}: its column does not average to the score; correct per_image(), or name it in SUMMED"
            assert np.nanmean(values) == pytest.approx(score), hint


PARTS = {"AtTemperature", "Meter"}
"""Exports that look like meters and are none to choose: what fits a temperature, the type of all."""


def test_exports_and_choices_are_one() -> None:
    """Each meter can be chosen on the command line, and what is chosen is exported."""
    used = {
        node["_target_"].rpartition(".")[2]
        for name in METRICS
        if name != "regions"
        for node in enrolled()[name].values()
    }
    for name in seg.metrics.__all__:
        if name not in PARTS and hasattr(getattr(seg.metrics, name), "per_image"):
            assert name in used, f"write conf/metric/NAME.yaml with _target_: seg.metrics.{name}"
    new = ", ".join(sorted(used - set(seg.metrics.__all__)))
    assert not new, f"export {new} in seg/metrics/__init__.py: __all__, _FILES and TYPE_CHECKING"


class Bare:
    """A newcomer that lacks nearly all."""

    def update(self, logits: Tensor, mask: Tensor, index: Tensor) -> None: ...


class Odd(Bare):
    metrics = (Metric("odd", "an odd one"),)

    def update(self, image: Tensor) -> None: ...  # type: ignore[override]
    def totals(self) -> dict[str, Tensor]:
        return {}

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        return {}

    def per_image(self, totals: dict[str, Tensor]) -> list[Any]:
        return []


class Same(Odd):
    metrics = (Metric("miou", "of mine"),)

    def update(self, logits: Tensor, mask: Tensor, index: Tensor) -> None: ...  # type: ignore[override]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Bare, r"metric.mine: expected a meter .*, got Bare without metrics, totals, scores, per_image; add them"),
        (Odd, r"metric.mine: .* got Odd whose update takes \(image\); let it take \(logits, mask, index\) or"),
        (Same, "metric: expected each score once, got miou of pixels and of mine; rename one"),
    ],
)
def test_a_newcomer_learns_what_is_missing(made: Any, message: str) -> None:
    pixels = wanted_metrics(enrolled()["pixels"])
    with pytest.raises(ValueError, match=message):
        build([*pixels, Wanted("mine", made, ())], **known())


def test_a_choice_without_pixels_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"expected pixels among them, .* got loss; give such as metric=\[default,mine"
    ):
        build(wanted_metrics(enrolled()["loss"]), **known())
    for wrong, message in (
        (None, "metric: expected metrics by name, got None"),
        ({"mine": 3}, "metric.mine: expected a _target_ and its arguments, got 3; correct its file in conf/metric"),
        ({"mine": {**enrolled()["errors"]["errors"], "when": "late"}}, "metric.mine.when: expected epoch or end, got"),
    ):
        with pytest.raises(ValueError, match=message):
            wanted_metrics(wrong)
    for options, message in (
        ({"name": "a b"}, "metric: expected a name such as region_error, got 'a b'"),
        ({"title": ""}, "metric x: expected a title, got ''; give one"),
        ({"better": "more"}, "metric x: better: expected high or low, got 'more'; choose one"),
    ):
        with pytest.raises(ValueError, match=message):
            Metric(**{"name": "x", "title": "an x", **options})


def test_when_is_that_of_the_choice() -> None:
    wanted = wanted_metrics({**enrolled()["pixels"], **enrolled()["errors"]})
    found = catalogue(wanted, known(1))
    assert found["miou"].when == "epoch"
    assert found["error_missed"].when == "end"
