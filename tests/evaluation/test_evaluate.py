"""python -m pytest tests/evaluation/test_evaluate.py"""

from pathlib import Path

import pytest
import torch
from conftest import write_pairs
from torch import Tensor

from seg.data.batches import EvaluationBatches, make_loader
from seg.data.dataset import SegmentationDataset
from seg.data.pairs import pair
from seg.evaluation.evaluate import evaluate
from seg.metrics import Boundaries, Calibration, Components, MeanLoss, PixelCounts
from seg.metrics.calibration import AtTemperature
from seg.metrics.meters import Meter

NAMES = ("sky", "road", "car")


@pytest.fixture
def data(tmp_path: Path) -> SegmentationDataset:
    write_pairs(tmp_path, 6)
    return SegmentationDataset(pair(tmp_path / "images", tmp_path / "masks"), classes=3, mean=(0,) * 3, std=(1,) * 3)


def always_road(images: Tensor) -> Tensor:
    return torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1).expand(len(images), 3, *images.shape[-2:])


def share_of_road(logits: Tensor, mask: Tensor) -> Tensor:
    return (mask == 1).double().mean()


def test_counts_stand_at_the_index_of_their_image(data: SegmentationDataset) -> None:
    loader = make_loader(data, EvaluationBatches([0, 1] * 3, batch=2), workers=0, device=torch.device("cpu"))
    found = evaluate(always_road, loader, [PixelCounts(6, NAMES)])
    counts = found.totals["counts"]
    for index in range(6):
        mask = data[index].mask
        assert counts[index, :, 2].tolist() == [int((mask == c).sum()) for c in range(3)]
        assert counts[index, 1, 1] == (mask != 255).sum()
        assert counts[index, 1, 0] == (mask == 1).sum()
    assert torch.equal(found.totals["confusion"][:, 1], counts.sum(0)[:, 2])
    assert list(found.scores) == ["miou", "mdice", "accuracy", "iou", "dice", "miou_i", "miou_c"]
    assert found.scores["accuracy"] == pytest.approx(found.scores["iou"]["road"])


def unsure(images: Tensor) -> Tensor:
    """Logits that follow the colours, and are wrong here and there."""
    return torch.stack([images[:, 2], images.mean(1), images[:, 0] * 1.1], dim=1) * 3


def every_meter() -> list[Meter]:
    return [
        MeanLoss(share_of_road),
        PixelCounts(6, NAMES),
        Calibration(6),
        Boundaries(6, NAMES, tolerances=[1, 3], surface=True),
        Components(NAMES, bounds=(100, 1000)),
        AtTemperature(6, 2.0),
    ]


def test_processes_share_the_images_and_add_up(data: SegmentationDataset) -> None:
    """Meters of two processes, summed as `reduce` does, score like those of one."""

    def run(rank: int, world: int, reduce=lambda tensor: tensor):
        batches = EvaluationBatches([0] * 6, batch=4, rank=rank, world=world)
        loader = make_loader(data, batches, workers=0, device=torch.device("cpu"))
        return evaluate(unsure, loader, every_meter(), reduce=reduce)

    whole, first = run(0, 1), run(0, 2)
    others = iter(first.totals.values())
    both = run(1, 2, reduce=lambda tensor: tensor + next(others))
    assert both.totals.keys() == whole.totals.keys()
    for name, total in whole.totals.items():
        torch.testing.assert_close(both.totals[name], total, rtol=1e-12, atol=0, equal_nan=True)
    assert list(both.scores)[:2] == ["loss", "miou"]
    for name, score in whole.scores.items():
        assert both.scores[name] == pytest.approx(score, rel=1e-12, nan_ok=True), name
    assert 0.3 < whole.scores["miou"] < 1
    expected = sum(float((data[i].mask == 1).double().mean()) for i in range(6)) / 6
    assert whole.scores["loss"] == pytest.approx(expected)
