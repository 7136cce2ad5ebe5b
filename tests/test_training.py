"""python -m pytest tests/test_training.py"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import write_pairs
from lightning.fabric import Fabric
from torch import nn

from seg import checkpoint, optim, training
from seg.dataset import SegmentationDataset
from seg.evaluation import Validation, evaluate
from seg.loading import EvaluationBatches, TrainBatches, make_loader
from seg.losses import Boundary, CrossEntropy, Dice, Ramp, WeightedSum, fused
from seg.metrics import MeanLoss, PixelCounts
from seg.objective import Segmentation
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
        self.objective = Segmentation(loss or CrossEntropy(), 3)
        prepare = self.objective.prepare if maps else None
        data = SegmentationDataset(pairs, transform=recipe, epochs=3, prepare=prepare, **common)
        plain = SegmentationDataset(pairs, **common)
        device = torch.device("cpu")
        self.loader = make_loader(data, self.batches, workers=workers, device=device)
        self.val_loader = make_loader(plain, EvaluationBatches([0] * 6, batch=4), workers=0, device=device)
        model = Small()
        optimizer = torch.optim.AdamW(optim.parameter_groups(model), lr=lr)
        scheduler = optim.cosine(optimizer, steps=9)
        self.state = State(model, self.objective, optimizer, scheduler, Fabric(accelerator="cpu", devices=1))

    def validate(self) -> Validation:
        self.state.wrapped.eval()
        loss = MeanLoss(lambda logits, mask: self.objective.losses(logits, mask).total)
        return evaluate(self.state.wrapped, self.val_loader, [loss, PixelCounts(6, ["sky", "road", "car"])])

    def line(self, line: dict[str, Any]) -> None:
        self.lines.append(line)

    def save(self, kind: str) -> None:
        checkpoint.save(self.folder / f"{kind}.pt", self.state.state_dict())

    def fit(self, stop: Callable[[], bool] = lambda: False) -> "Experiment":
        training.fit(
            self.state,
            self.loader,
            self.batches,
            options=self.options,
            validate=self.validate,
            watcher=self,
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
    with pytest.raises(KeyboardInterrupt, match=r"saved at epoch \d, step \d; the same command goes on"):
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
    images, masks, _, extra = next(iter(experiment.loader))
    shapes = images.shape, masks.shape, extra["distance"].shape
    assert shapes == ((2, 3, 32, 32), (2, 32, 32), (2, 2, 32, 32))
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


def test_it_learns(folder: Path) -> None:
    experiment = Experiment(folder)
    experiment.options = FitOptions(epochs=12)
    experiment.state.scheduler = optim.constant(experiment.state.optimizer, steps=36)
    experiment.fit()
    assert experiment.lines[-1]["val_loss"] < 0.6 * experiment.lines[0]["val_loss"]
    assert experiment.lines[-1]["val_miou"] > 0.9
    assert experiment.state.position.best == max(line["val_miou"] for line in experiment.lines)
    assert checkpoint.load(folder / "best.pt")["position"]["best"] == experiment.state.position.best


def test_composites_ramp_and_report_their_terms(folder: Path) -> None:
    terms = {"a": CrossEntropy(), "b": CrossEntropy(label_smoothing=0.5)}
    loss = WeightedSum(terms=terms, weights={"a": 1.0, "b": Ramp(0.0, 0.9)})
    seen = []
    loss.register_forward_hook(
        lambda module, *_: seen.append(module.current_weights()["b"]) if module.training else None
    )
    experiment = Experiment(folder, loss=loss)
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
        next(experiment.state.model.parameters()).fill_(math.nan)
    with pytest.raises(RuntimeError, match=r"expected a finite loss, got nan in epoch 0 by step 3; lower optimizer.lr"):
        experiment.fit()
    assert not (folder / "last.pt").exists()  # nothing is saved after it, and nothing was before


def test_options_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"fit.epochs: expected a whole number of at least 1, got 0"):
        FitOptions(epochs=0)
    with pytest.raises(ValueError, match=r"fit.clip: expected a positive norm, got 0.0; null does not clip"):
        FitOptions(clip=0.0)


class Average:
    """A user's running average of the weights, kept by a hook of the optimizer."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.values = {name: p.detach().clone() for name, p in model.named_parameters()}
        optimizer.register_step_post_hook(lambda *_: self.follow(model))

    def follow(self, model: nn.Module) -> None:
        for name, p in model.named_parameters():
            self.values[name].lerp_(p.detach(), 0.1)

    def state_dict(self) -> dict[str, Any]:
        return self.values

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.values = {name: value.clone() for name, value in state_dict.items()}


def test_another_part_is_saved_and_resumed(folder: Path) -> None:
    """Without a change to the loop."""

    def averaged() -> Experiment:
        experiment = Experiment(folder)
        model, optimizer = experiment.state.model, experiment.state.optimizer.optimizer
        experiment.state.parts["average"] = Average(model, optimizer)
        return experiment

    whole = averaged().fit()
    (folder / "last.pt").unlink()
    calls = iter(range(1000))
    with pytest.raises(KeyboardInterrupt):
        averaged().fit(stop=lambda: next(calls) >= 4)
    second = averaged()
    second.state.load_state_dict(checkpoint.load(folder / "last.pt"))
    second.fit()
    for name, value in whole.state.parts["average"].values.items():
        assert torch.equal(second.state.parts["average"].values[name], value), name
        assert not torch.equal(value, dict(whole.state.model.named_parameters())[name]), name


def test_a_validation_that_failed_is_run_again(folder: Path) -> None:
    """The epoch before it is not trained again, and its training time is kept."""
    whole = Experiment(folder).fit()
    (folder / "last.pt").unlink()
    first = Experiment(folder)
    validate, calls = first.validate, iter(range(9))

    def failing() -> Validation:
        if next(calls) == 1:
            raise MemoryError("no memory for whole images")
        return validate()

    first.validate = failing  # type: ignore[method-assign]
    with pytest.raises(MemoryError):
        first.fit()
    position = checkpoint.load(folder / "last.pt")["position"]
    assert (position["epoch"], position["step"]) == (1, 3)
    second = Experiment(folder)
    second.state.load_state_dict(checkpoint.load(folder / "last.pt"))
    steps: list[int] = []
    begin_step = second.state.begin_step
    second.state.begin_step = lambda done, total: (steps.append(done), begin_step(done, total))[1]  # type: ignore
    second.fit()
    assert steps == [6, 7, 8]
    assert first.timeless() + second.timeless() == whole.timeless()
    assert second.lines[0]["seconds"] >= position["seconds"] > 0
