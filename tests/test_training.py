"""python -m pytest tests/test_training.py"""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import write_pairs
from lightning.fabric import Fabric
from torch import nn

from seg import checkpoint, training
from seg.dataset import EvaluationBatches, SegmentationDataset, TrainBatches
from seg.losses import Boundary, CrossEntropy, Dice, Ramp, WeightedSum, distances_for, fused
from seg.pairs import pair
from seg.training import FitOptions, State
from seg.transforms import ColorJitter, Compose, CutMix, Flip, GridMask, ScaleCrop


class Small(nn.Sequential):
    """A model with everything that has state: weights, running statistics, dropout."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(8, 3, 1)
        )


class Experiment:
    """A run of 3 epochs of 3 steps on files, whose parts can be interrupted and rebuilt."""

    def __init__(
        self, folder: Path, workers: int = 0, lr: float = 1e-2, loss: nn.Module | None = None, maps: bool = True
    ) -> None:
        self.folder = folder
        self.lines: list[dict[str, Any]] = []
        pairs = pair(folder / "images", folder / "masks")
        recipe = Compose(
            flip=Flip(),
            crop=ScaleCrop(size=(32, 32)),
            color=ColorJitter(),
            grid=GridMask(8, 16, 0.5, label="ignore", ramp=1.0),
            mix=CutMix(),
        )
        torch.manual_seed(0)
        self.options = FitOptions(epochs=3)
        self.batches = TrainBatches(len(pairs), batch=2, seed=0)
        common = {"classes": 3, "mean": (0.5,) * 3, "std": (0.25,) * 3}
        loss = loss or CrossEntropy()
        extra = distances_for(loss, 3) if maps else None
        data = SegmentationDataset(pairs, transform=recipe, epochs=3, extra=extra, **common)
        plain = SegmentationDataset(pairs, **common)
        device = torch.device("cpu")
        self.loader = training.make_loader(data, self.batches, workers=workers, device=device)
        self.val_loader = training.make_loader(plain, EvaluationBatches([0] * 6, batch=4), workers=0, device=device)
        model = Small()
        optimizer = torch.optim.AdamW(training.parameter_groups(model), lr=lr)
        scheduler = training.cosine(optimizer, steps=9)
        self.state = State(model, loss, optimizer, scheduler, Fabric(accelerator="cpu", devices=1))

    def validate(self) -> dict[str, Any]:
        self.state.model.eval()
        found = training.evaluate(self.state.model, self.val_loader, images=6, classes=3, loss=self.state.loss)
        return {"miou": float(found.confusion.trace() / found.confusion.sum()), "loss": found.loss}

    def save(self, name: str) -> None:
        checkpoint.save(self.folder / name, self.state.state_dict())

    def fit(self, stop: Callable[[], bool] = lambda: False) -> "Experiment":
        training.fit(
            self.state,
            self.loader,
            self.batches,
            options=self.options,
            validate=self.validate,
            record=self.lines.append,
            save=self.save,
            stop=stop,
        )
        return self

    def timeless(self) -> list[dict[str, Any]]:
        return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in self.lines]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pairs(tmp_path / "run", 6)
    return tmp_path / "run"


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4, 5, 8])
def test_interrupted_and_resumed_equals_uninterrupted(folder: Path, stop_after: int) -> None:
    whole = Experiment(folder).fit()
    (folder / "last.pt").unlink()
    calls = iter(range(1000))
    first = Experiment(folder)
    with pytest.raises(KeyboardInterrupt, match=r"saved in last.pt"):
        first.fit(stop=lambda: next(calls) >= stop_after - 1)
    second = Experiment(folder, workers=2)  # the number of workers changes nothing either
    torch.rand(7)  # whatever the new process has drawn before
    second.state.load_state_dict(checkpoint.load(folder / "last.pt"))
    second.fit()
    kept = [line for line in first.timeless() if line["epoch"] < (second.lines or [{"epoch": 3}])[0]["epoch"]]
    assert kept + second.timeless() == whole.timeless()
    ours, theirs = second.state.state_dict(), whole.state.state_dict()
    for name, tensor in theirs["model"].items():
        assert torch.equal(ours["model"][name], tensor), name
    assert ours["scheduler"] == theirs["scheduler"]


def test_each_process_and_step_has_noise_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = Experiment(folder).state

    def noise(rank: int, step: int, seed: int = 0) -> float:
        monkeypatch.setattr(Fabric, "global_rank", rank)
        state.seed = seed
        state.begin_step(step, 10)
        return float(torch.rand(()))

    drawn = [noise(rank, step, seed) for rank in range(4) for step in range(10) for seed in range(3)]
    assert len(set(drawn)) == len(drawn)
    assert noise(3, 9, 2) == drawn[-1]


def with_boundary() -> WeightedSum:
    terms = {"dice": Dice(), "boundary": Boundary(classes=[1, 2])}
    return WeightedSum(terms=terms, weights={"dice": 1.0, "boundary": Ramp(0.0, 0.1)})


@pytest.fixture
def plain_losses() -> Iterator[None]:
    """The native losses take maps of all classes only, and differ from the plain ones by rounding."""
    with fused(False):
        yield


@pytest.mark.usefixtures("plain_losses")
def test_distance_maps_come_with_the_batch(folder: Path) -> None:
    """Made by loading workers of the augmented mask or by the loss itself: the same run, to the bit; resumed too."""
    experiment = Experiment(folder, workers=2, loss=with_boundary())
    images, masks, _, maps = next(iter(experiment.loader))
    assert (images.shape, masks.shape, maps.shape) == ((2, 3, 32, 32), (2, 32, 32), (2, 2, 32, 32))
    eager = Experiment(folder, loss=with_boundary(), maps=False).fit()
    (folder / "last.pt").unlink()
    calls = iter(range(1000))
    first = Experiment(folder, workers=2, loss=with_boundary())
    with pytest.raises(KeyboardInterrupt):
        first.fit(stop=lambda: next(calls) >= 4)
    second = Experiment(folder, loss=with_boundary())
    second.state.load_state_dict(checkpoint.load(folder / "last.pt"))
    second.fit()
    assert second.timeless() == eager.timeless()[1:]
    for name, tensor in eager.state.state_dict()["model"].items():
        assert torch.equal(second.state.state_dict()["model"][name], tensor), name


def test_a_program_that_keeps_its_loader_ends(tmp_path: Path) -> None:
    """Workers ignore the SIGTERM that multiprocessing sends them at exit, before it waits for them."""
    program = (
        "import torch; from seg.training import make_loader\n"
        "loader = make_loader(list(range(8)), [[0, 1], [2, 3]], workers=1, device=torch.device('cpu'))\n"
        "kept = iter(loader)\n"
        "print(next(kept).tolist())\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == "[0, 1]\n"


def test_it_learns(folder: Path) -> None:
    experiment = Experiment(folder)
    experiment.options = FitOptions(epochs=12)
    experiment.state.scheduler = training.constant(experiment.state.optimizer, steps=36)
    experiment.fit()
    assert experiment.lines[-1]["val_loss"] < 0.6 * experiment.lines[0]["val_loss"]
    assert experiment.lines[-1]["val_miou"] > 0.9
    assert experiment.state.best == max(line["val_miou"] for line in experiment.lines)
    assert checkpoint.load(folder / "best.pt")["best"] == experiment.state.best


def test_composites_ramp_and_report_their_terms(folder: Path) -> None:
    experiment = Experiment(folder)
    terms = {"a": CrossEntropy(), "b": CrossEntropy(label_smoothing=0.5)}
    loss = WeightedSum(terms=terms, weights={"a": 1.0, "b": Ramp(0.0, 0.9)})
    seen = []
    loss.register_forward_hook(
        lambda module, *_: seen.append(module.current_weights()["b"]) if module.training else None
    )
    experiment.state.loss = loss.train()
    validate = experiment.validate
    experiment.validate = lambda: (loss.eval(), validate(), loss.train())[1]
    experiment.fit()
    assert seen == pytest.approx([0.1 * step for step in range(9)], abs=1e-6)
    line = experiment.lines[0]
    assert set(line["terms"]) == {"a", "b"}
    assert line["loss"] == pytest.approx(line["terms"]["a"] + 0.1 * line["terms"]["b"], rel=0.05)


def test_validation_every_other_epoch(folder: Path) -> None:
    experiment = Experiment(folder)
    experiment.options = FitOptions(epochs=3, validate_every=2)
    experiment.fit()
    assert ["val_miou" in line for line in experiment.lines] == [False, True, True]


def test_a_diverging_run_says_so(folder: Path) -> None:
    experiment = Experiment(folder)
    with torch.no_grad():
        next(experiment.state.module.parameters()).fill_(math.nan)
    with pytest.raises(RuntimeError, match=r"the loss became nan in epoch 0 by step 3: lower optimizer.lr"):
        experiment.fit()
    assert not checkpoint.load(folder / "last.pt")["step"]


def test_evaluate_counts_images_by_index(folder: Path) -> None:
    pairs = pair(folder / "images", folder / "masks")
    data = SegmentationDataset(pairs, classes=3, mean=(0,) * 3, std=(1,) * 3)
    loader = training.make_loader(
        data, EvaluationBatches([0, 1, 0, 1, 0, 1], batch=2), workers=0, device=torch.device("cpu")
    )
    always_road = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    found = training.evaluate(lambda x: always_road.expand(len(x), 3, *x.shape[-2:]), loader, images=6, classes=3)
    for index in range(6):
        mask = data[index][1]
        assert found.counts[index, :, 2].tolist() == [int((mask == c).sum()) for c in range(3)]
        assert found.counts[index, 1, 1] == (mask != 255).sum()
        assert found.counts[index, 1, 0] == (mask == 1).sum()
    assert torch.equal(found.confusion[:, 1], found.counts.sum(0)[:, 2])
    assert math.isnan(found.loss)


def test_cosine_warms_up_and_falls() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = training.cosine(optimizer, steps=100, warmup=0.1, floor=0.01)
    rates = []
    for _ in range(100):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    for step in range(10, 100):
        expected = 2 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - 10) / 90)))
        assert rates[step] == pytest.approx(expected)
    assert scheduler.get_last_lr()[0] == pytest.approx(0.02)
    with pytest.raises(ValueError, match="warmup is in 0..1"):
        training.cosine(optimizer, steps=10, warmup=1.0)


def test_parameter_groups_spare_biases_and_norms() -> None:
    decayed, others = training.parameter_groups(Small())
    assert [p.ndim for p in decayed["params"]] == [4, 4]
    assert [p.ndim for p in others["params"]] == [1, 1, 1, 1]
    assert others["weight_decay"] == 0.0


def test_options_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"fit.epochs: expected a whole number of at least 1, got 0"):
        FitOptions(epochs=0)
    with pytest.raises(ValueError, match=r"fit.clip: expected a positive norm or null, got 0"):
        FitOptions(clip=0.0)
