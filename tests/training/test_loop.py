"""python -m pytest tests/training/test_loop.py"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import write_pairs
from lightning_fabric import Fabric
from torch import nn

from seg import training
from seg.data.batches import Batch, EvaluationBatches, TrainBatches, make_loader
from seg.data.dataset import SegmentationDataset
from seg.data.pairs import pair
from seg.evaluation.evaluate import Evaluation, evaluate
from seg.files.errors import Failed
from seg.losses import Boundary, CrossEntropy, Dice, Ramp, WeightedSum, fused
from seg.metrics import MeanLoss, PixelCounts
from seg.models import checkpoint
from seg.tasks.objective import Segmentation
from seg.training import FitOptions, State, optim
from seg.training.averaging import EMA, Average
from seg.transforms import ColorJitter, Compose, CutMix, Flip, GridMask, ScaleCrop


class Small(nn.Sequential):
    """A model with everything that has state: weights, running statistics, dropout."""

    def __init__(self) -> None:
        encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        super().__init__(OrderedDict(encoder=encoder, drop=nn.Dropout(0.2), head=nn.Conv2d(8, 3, 1)))


class Experiment:
    """A run of 3 epochs of 3 steps on files, whose parts can be interrupted and rebuilt."""

    def __init__(
        self,
        folder: Path,
        workers: int = 0,
        lr: float = 1e-2,
        loss: nn.Module | None = None,
        maps: bool = True,
        *,
        options: FitOptions | None = None,
        schedule: Callable[..., Any] = optim.cosine,
        average: Callable[[nn.Module], Average] | None = None,
        precision: Any = "32-true",
        untrained: str = "",
    ) -> None:
        self.folder = folder
        self.lines: list[dict[str, Any]] = []
        self.bad: list[tuple[list[int], bool]] = []
        pairs = pair(folder / "images", folder / "masks")
        recipe = Compose(
            flip=Flip(),
            crop=ScaleCrop(size=(32, 32)),
            color=ColorJitter(),
            grid=GridMask(8, 16, 0.5, label="ignore", ramp=1.0),
            mix=CutMix(),
        )
        torch.manual_seed(0)
        self.options = options or FitOptions(epochs=3)
        accumulate = self.options.accumulate
        self.batches = TrainBatches(len(pairs), batch=2 // accumulate, accumulate=accumulate, seed=0)
        common = {"classes": 3, "mean": (0.5,) * 3, "std": (0.25,) * 3}
        self.objective = Segmentation(loss or CrossEntropy(), 3)
        prepare = self.objective.prepare if maps else None
        data = SegmentationDataset(pairs, transform=recipe, epochs=3, prepare=prepare, **common)
        plain = SegmentationDataset(pairs, **common)
        device = torch.device("cpu")
        self.loader = make_loader(data, self.batches, workers=workers, device=device)
        self.val_loader = make_loader(plain, EvaluationBatches([0] * 6, batch=4), workers=0, device=device)
        model = Small()
        model.get_submodule(untrained).requires_grad_(not untrained)
        optimizer = torch.optim.AdamW(optim.parameter_groups(model), lr=lr)
        scheduler = schedule(optimizer, steps=9)
        fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
        self.state = State(model, self.objective, optimizer, scheduler, fabric, average=average)

    def validate(self) -> Evaluation:
        self.state.evaluated.eval()
        loss = MeanLoss(lambda logits, mask: self.objective.losses(logits, mask).total)
        return evaluate(self.state.evaluated, self.val_loader, [loss, PixelCounts(6, ["sky", "road", "car"])])

    def line(self, line: dict[str, Any]) -> None:
        self.lines.append(line)

    def save(self, kind: str) -> None:
        checkpoint.save(self.folder / f"{kind}.pt", self.state.state_dict())

    def keep(self, epochs: Sequence[int]) -> None:
        self.kept = list(epochs)

    def not_finite(self, batches: Sequence[Batch], skipped: bool) -> str:
        self.bad.append(([index for batch in batches for index in batch.index.tolist()], skipped))
        return f"with the images {self.bad[-1][0]}"

    def fit(
        self, stop: Callable[[], bool] = lambda: False, give_up: Callable[[], bool] = lambda: False
    ) -> "Experiment":
        training.fit(
            self.state,
            self.loader,
            self.batches,
            options=self.options,
            validate=self.validate,
            watcher=self,
            stop=stop,
            give_up=give_up,
        )
        return self

    def timeless(self) -> list[dict[str, Any]]:
        return [
            {k: v for k, v in line.items() if k not in ("seconds", "wait", "images_per_second")} for line in self.lines
        ]


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


def test_a_stop_during_the_validation(folder: Path) -> None:
    """What it has found is thrown away, because it may be of a part of the images; the epoch is not trained again."""
    whole = Experiment(folder).fit()
    (folder / "last.pt").unlink()
    first, asked = Experiment(folder), []
    validate = first.validate

    def interrupted() -> Evaluation:
        asked.append(True)
        return validate()

    first.validate = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt, match="saved at epoch 1, step 3"):
        first.fit(stop=lambda: bool(asked))
    assert not first.lines
    second = Experiment(folder)
    second.state.load_state_dict(checkpoint.load(folder / "last.pt"))
    assert second.fit().timeless() == whole.timeless()
    for name, tensor in whole.state.model.state_dict().items():
        assert torch.equal(second.state.model.state_dict()[name], tensor), name


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
        first.fit(stop=lambda: next(calls) >= 5)
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
    message = (
        r"expected a finite loss and gradient, got none in epoch 1, step 1, with the images \[.*; lower optimizer.lr"
    )
    with pytest.raises(RuntimeError, match=message):
        experiment.fit()
    assert experiment.bad[0][1] is False
    assert not (folder / "last.pt").exists()  # nothing is saved after it, and nothing was before


def test_options_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"fit.epochs: expected a whole number of at least 1, got 0"):
        FitOptions(epochs=0)
    with pytest.raises(ValueError, match=r"fit.clip: expected a norm above 0, got 0.0; null does not clip"):
        FitOptions(clip=0.0)
    for name in ("accumulate", "keep", "steps", "patience", "save_every", "overfit"):
        with pytest.raises(ValueError, match=rf"fit.{name}: expected a whole number of at least 1, got 0"):
            FitOptions(**{name: 0})
    for name in ("skip", "freeze"):
        with pytest.raises(ValueError, match=rf"fit.{name}: expected a whole number of at least 0, got -1"):
            FitOptions(**{name: -1})
    with pytest.raises(ValueError, match=r"fit.epochs: expected a whole number of at least 1, got True"):
        FitOptions(epochs=True)
    with pytest.raises(ValueError, match=r"fit.mode: expected max or min, got 'up'"):
        FitOptions(mode="up")
    with pytest.raises(ValueError, match=r"fit.monitor: expected a text, got ''"):
        FitOptions(monitor="")


class Followed:
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
        experiment.state.parts["average"] = Followed(model, optimizer)
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

    def failing() -> Evaluation:
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


EVERYTHING = FitOptions(epochs=3, accumulate=2, freeze=1, save_every=1, keep=2, skip=1, clip=0.5)


def with_everything(folder: Path, **options: Any) -> Experiment:
    return Experiment(
        folder,
        options=EVERYTHING,
        schedule=optim.restarts,
        average=partial(EMA, decay=0.9),
        precision="bf16-mixed",
        **options,
    )


@pytest.mark.parametrize("stop_after", [2, 4, 7])
def test_resumed_with_everything_on(folder: Path, stop_after: int) -> None:
    """Accumulation, a frozen encoder, an average of the weights, bfloat16: still the same run, to the bit."""
    whole = with_everything(folder).fit()
    (folder / "last.pt").unlink()
    calls = iter(range(1000))
    with pytest.raises(KeyboardInterrupt):
        with_everything(folder).fit(stop=lambda: next(calls) >= stop_after - 1)
    second = with_everything(folder, workers=2)
    second.state.load_state_dict(checkpoint.load(folder / "last.pt"))
    second.fit()
    assert second.timeless() == whole.timeless()[-len(second.lines) :]
    for part in ("model", "average"):
        for name, tensor in whole.state.state_dict()[part].items():
            assert torch.equal(second.state.state_dict()[part][name], tensor), name
    assert second.state.position.top == whole.state.position.top
    assert len(whole.state.position.top) == 2
    assert whole.kept == [epoch for _, epoch in whole.state.position.top]


def test_layers_that_are_not_trained(folder: Path) -> None:
    """Not even their running statistics, nor with weight decay; the rest is trained."""
    experiment = Experiment(folder, untrained="encoder")
    before = {name: value.clone() for name, value in experiment.state.model.state_dict().items()}
    experiment.fit()
    for name, value in experiment.state.model.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("encoder."), name


def test_two_batches_of_one_step_equal_one_of_twice_the_size(folder: Path) -> None:
    """Where nothing depends on the rest of the batch: no ignored pixels, no running statistics, no dropout."""
    weights = []
    for accumulate in (1, 2):
        experiment = Experiment(folder, options=FitOptions(epochs=2, accumulate=accumulate, clip=0.1))
        experiment.loader.dataset.transform = ScaleCrop(size=(32, 32), scale=(1.0, 1.0))
        experiment.state.model.encoder[1] = nn.Identity()
        experiment.state.model.drop.p = 0.0
        experiment.fit()
        weights.append(experiment.state.model.state_dict())
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-5, atol=1e-6)


def test_the_average_is_one(folder: Path) -> None:
    """The formula, step by step, with the warm-up of timm: 1 - (1 + step)^(-2/3) after the first two."""
    experiment = Experiment(folder, average=partial(EMA, decay=0.8))
    expected: dict[str, torch.Tensor] = {}
    update = experiment.state.average.update

    def follow(model: nn.Module, step: int) -> None:
        update(model, step)
        decay = min(0.8, 1 - step ** (-2 / 3))
        for name, value in model.state_dict().items():
            if value.is_floating_point() and name in expected:
                expected[name] = decay * expected[name] + (1 - decay) * value.double()
            else:
                expected[name] = value.double() if value.is_floating_point() else value.clone()

    experiment.state.average.update = follow
    experiment.fit()
    for name, value in experiment.state.evaluated.state_dict().items():
        torch.testing.assert_close(value, expected[name].to(value.dtype), rtol=1e-5, atol=1e-6)
    assert not torch.equal(experiment.state.evaluated.head.weight, experiment.state.model.head.weight)
    with pytest.raises(ValueError, match=r"average.decay: expected a share above 0 and below 1, got 1.5"):
        EMA(Small(), decay=1.5)


@pytest.mark.parametrize("norm", [True, False])
def test_a_frozen_encoder(folder: Path, norm: bool) -> None:
    experiment = Experiment(folder, options=FitOptions(epochs=2, freeze=1, freeze_norm=norm))
    first = {name: value.clone() for name, value in experiment.state.model.state_dict().items()}
    after: list[dict[str, torch.Tensor]] = []
    line = experiment.line
    experiment.line = lambda found: (  # type: ignore[method-assign]
        line(found),
        after.append({name: value.clone() for name, value in experiment.state.model.state_dict().items()}),
    )[0]
    experiment.fit()
    for name, value in after[0].items():
        still = name.startswith("encoder.") and (norm or ("running" not in name and "batches" not in name))
        assert torch.equal(value, first[name]) == still, name
    assert not any(torch.equal(after[1][name], first[name]) for name in first)
    with pytest.raises(
        ValueError, match=r"fit.freeze: expected a model with an encoder, got Linear; give fit.freeze=0"
    ):
        State(
            nn.Linear(1, 1), experiment.objective, experiment.state.optimizer.optimizer, experiment.state.scheduler,
            Fabric(accelerator="cpu", devices=1),
        ).train(frozen=True, norm=True)  # fmt: skip


def test_a_run_of_steps(folder: Path) -> None:
    experiment = Experiment(folder, options=FitOptions(steps=7, validate_every=9)).fit()
    assert experiment.state.scheduler.last_epoch == 7
    assert ["val_miou" in line for line in experiment.lines] == [False, False, True]
    assert FitOptions(steps=7).length(3) == (3, 7)
    assert FitOptions(epochs=2).length(3) == (2, 6)


def test_a_run_that_is_given_up_is_complete(folder: Path) -> None:
    """It is asked after every epoch but the last, when that stands in the log, and never goes on."""
    experiment = Experiment(folder, options=FitOptions(epochs=4, validate_every=3))
    asked: list[int] = []
    experiment.fit(give_up=lambda: bool(asked.append(len(experiment.lines))) or len(asked) == 2)
    assert asked == [1, 2]
    assert experiment.state.position.stopped
    assert torch.load(folder / "last.pt", weights_only=True)["position"]["stopped"]
    assert experiment.fit().state.position.epoch == 2
    whole = Experiment(folder, options=FitOptions(epochs=2))
    whole.fit(give_up=lambda: bool(asked.append(len(whole.lines))))
    assert asked == [1, 2, 1]
    assert not whole.state.position.stopped


def test_patience_and_other_scores(folder: Path) -> None:
    options = FitOptions(epochs=9, monitor="loss", mode="min", patience=2)
    experiment = Experiment(folder, options=options)
    losses = iter([3.0, 1.0, 2.0, math.nan, 0.5])
    validate = experiment.validate
    experiment.validate = lambda: Evaluation({}, validate().scores | {"loss": next(losses)})  # type: ignore[method-assign]
    experiment.fit()
    assert [line["val_loss"] for line in experiment.lines][:3] == [3.0, 1.0, 2.0]
    assert len(experiment.lines) == 4
    assert experiment.state.position.stopped
    assert experiment.state.position.best == -1.0
    assert experiment.fit().state.position.epoch == 4  # and stays so
    options = FitOptions(monitor="iou.sea")
    with pytest.raises(ValueError, match=r"fit.monitor: expected a score among miou, iou, got 'iou.sea'; choose one"):
        options.goodness({"miou": 0.5, "iou": {"sky": 0.1}})
    assert FitOptions(monitor="iou.a.b").goodness({"iou": {"a.b": 0.25}}) == 0.25


def test_a_plateau_lowers_the_rate(folder: Path) -> None:
    def plateau(optimizer: torch.optim.Optimizer, steps: int) -> Any:
        return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=0)

    experiment = Experiment(folder, schedule=plateau, options=FitOptions(epochs=4, monitor="loss", mode="min"))
    losses = iter([1.0, 2.0, 3.0, 0.5])
    validate = experiment.validate
    experiment.validate = lambda: Evaluation({}, validate().scores | {"loss": next(losses)})  # type: ignore[method-assign]
    experiment.fit()
    assert [line["lr"] for line in experiment.lines] == [0.01, 0.01, 0.005, 0.0025]


def test_a_step_that_is_not_finite_is_left_out(folder: Path) -> None:
    """The run goes on as if it had not been there, running statistics included; the second one is one too many."""

    class Broken(CrossEntropy):
        def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            steps.append(len(steps))
            return super().forward(logits * (math.nan if len(steps) in bad else 1.0), target)

    bad, steps = {2}, list[int]()
    experiment = Experiment(folder, loss=Broken(), options=FitOptions(epochs=1, skip=1, validate_every=1))
    experiment.validate = lambda: Evaluation({}, {"miou": 0.0})  # type: ignore[method-assign]
    experiment.fit()
    assert experiment.state.position.skipped == 1
    assert experiment.bad[0][1] is True
    assert all(value.isfinite().all() for value in experiment.state.model.state_dict().values())
    assert experiment.state.model.encoder[1].num_batches_tracked == 2
    steps.clear()
    bad |= {3}
    experiment = Experiment(folder, loss=Broken(), options=FitOptions(epochs=1, skip=1))
    with pytest.raises(RuntimeError, match=r"in epoch 1, step 3 \(1 steps were left out before\), with the images"):
        experiment.fit()


def test_a_gradient_that_is_not_finite_is_found_too(folder: Path) -> None:
    class Root(CrossEntropy):
        def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return super().forward(logits, target) + (logits * 0).abs().sqrt().sum()  # finite, its slope at 0 is not

    for clip in (None, 1.0):
        with pytest.raises(Failed, match="expected a finite loss and gradient, got none in epoch 1, step 1"):
            Experiment(folder, loss=Root(), options=FitOptions(clip=clip)).fit()
