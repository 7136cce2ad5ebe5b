"""Two processes train as one does with all their images: the same weights after several steps.

python -m pytest tests/training/test_distributed.py
"""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from lightning_fabric import Fabric
from torch import Tensor, multiprocessing, nn
from torch.utils.data import default_collate

from seg import training
from seg.commands.cli.help import conf_dir
from seg.data.batches import Batch, TrainBatches
from seg.evaluation.evaluate import Evaluation
from seg.losses import (
    CrossEntropy,
    Dice,
    Focal,
    LovaszSoftmax,
    Poly1,
    WeightedCrossEntropy,
    WeightedSum,
    over_processes,
)
from seg.losses.boxes import giou
from seg.losses.weighting import DynamicWeightAverage, Fixed, SoftOptimalUncertainty, Uncertainty, Weighting
from seg.models import checkpoint
from seg.tasks.boxes import BoxHead, BoxTask
from seg.tasks.objective import MultiTask, Segmentation
from seg.training import optim
from seg.training.averaging import EMA
from seg.training.device import DeviceOptions, make_fabric

CLASSES, IMAGES, STEPS = 4, 8, 6


class Model(nn.Module):
    """Without noise and batch statistics, which are each process's own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU())
        self.head = nn.Conv2d(8, CLASSES, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.encoder(images))
        return logits


class TwoHeads(Model):
    """With a head that is called where it is asked for, as that of `seg.models.WithHeads`."""

    def __init__(self, further: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.further = further()

    def forward(self, images: Tensor, *, heads: bool = False) -> Any:
        features = self.encoder(images)
        logits = self.head(features)
        return (logits, {"first": self.further(features)}) if heads else logits


class First(nn.Module):
    """Whether a pixel is of class 0, with a learnt slope: the mean over all labelled pixels of all processes."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))

    def prepare(self, mask: Tensor) -> dict[str, Any]:
        return {"wanted": (mask == 0).float(), "known": mask != 255}

    def forward(self, output: Tensor, logits: Tensor, batch: Batch) -> Tensor:
        known = batch.extra["known"]
        off = (self.slope * output[:, 0] - batch.extra["wanted"]).square() * known
        total, count = over_processes(off.sum(), known.sum().float())
        return total / count


class Local(First):
    """The mean over the pixels of a process: not the same on each of them, though its mean is that of one process."""

    def forward(self, output: Tensor, logits: Tensor, batch: Batch) -> Tensor:
        return (self.slope * output[:, 0] - batch.extra["wanted"]).square().mean()


class Learned(nn.Module):
    """A loss with parameters that act on every pixel, and one that acts on the value of all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.bias, self.spread = nn.Parameter(torch.zeros(CLASSES, 1, 1)), nn.Parameter(torch.zeros(()))
        self.loss = CrossEntropy()

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.loss(logits + self.bias, target) * torch.exp(-self.spread) + self.spread


SGD = partial(torch.optim.SGD, lr=0.2, momentum=0.9)
LINEAR = partial(nn.Conv2d, 8, 1, 1)


@dataclass(frozen=True)
class Case:
    """What is trained, and how; ``batch`` images are all that make a step."""

    loss: Callable[[], nn.Module] = CrossEntropy
    accumulate: int = 1
    freeze: int = 0
    average: bool = False
    optimizer: Callable[..., Any] = SGD
    weighting: Callable[..., Weighting] | None = None
    task: Callable[[], nn.Module] | None = None
    head: Callable[[], nn.Module] = LINEAR

    def objective(self) -> Segmentation | MultiTask:
        if self.weighting is None:
            return Segmentation(self.loss(), CLASSES)
        if self.task is None:
            return Segmentation(loss := self.loss(), CLASSES, self.weighting(list(loss.terms)))
        weighting = self.weighting(["segmentation", "first"])
        return MultiTask(Segmentation(self.loss(), CLASSES), {"first": self.task()}, weighting, {"first": 0.5})


RARE = [0.5, 1.0, 4.0, 0.0]
TINY = partial(torch.optim.SGD, lr=0.0005)


def several() -> WeightedSum:
    terms = {"weighted": WeightedCrossEntropy(weight=RARE), "poly": Poly1()}
    return WeightedSum(terms=terms, weights={"weighted": 1.0, "poly": 0.5})


def both() -> WeightedSum:
    return WeightedSum(terms={"focal": Focal(), "dice": Dice()}, weights={"focal": 1.0, "dice": 0.5})


CASES = {
    "cross entropy": Case(),
    # which divides gradients by their size, small ones and their rounding too
    "adamw": Case(optimizer=partial(torch.optim.AdamW, lr=0.002)),
    "dice": Case(Dice),
    "lovasz": Case(partial(LovaszSoftmax, batch=False)),
    "sum": Case(both),
    "accumulated": Case(accumulate=2),
    "accumulated, focal": Case(partial(Focal, weight=RARE), accumulate=2),
    "accumulated, weights": Case(partial(WeightedCrossEntropy, weight=RARE, label_smoothing=0.1), accumulate=2),
    "accumulated, sum": Case(partial(CrossEntropy, reduction="sum"), accumulate=2, optimizer=TINY),
    "accumulated, several": Case(several, accumulate=2),
    "accumulated, learned": Case(several, accumulate=2, weighting=Uncertainty),
    "averaged": Case(average=True),
    "frozen": Case(freeze=1),
    "learned": Case(Learned),
    "all": Case(Learned, accumulate=2, freeze=1, average=True),
    "weighed sum": Case(both, weighting=Uncertainty),
    "tasks": Case(weighting=Fixed, task=First),
    "uncertainty": Case(weighting=Uncertainty, task=First),
    "uncertainty, positive": Case(weighting=partial(Uncertainty, positive=True), task=First),
    "uw_so": Case(weighting=SoftOptimalUncertainty, task=First),
    "uw_so, local": Case(weighting=SoftOptimalUncertainty, task=Local),
    "dwa": Case(weighting=DynamicWeightAverage, task=First, accumulate=2),
    "dwa, local": Case(weighting=DynamicWeightAverage, task=Local),
    "boxes": Case(
        weighting=Fixed,
        task=partial(BoxTask, giou, min_area=1),
        head=partial(BoxHead, 8, width=8, depth=1),
        optimizer=partial(torch.optim.SGD, lr=0.02),
    ),
}


class Run:
    """Three epochs of two steps; its own watcher."""

    def __init__(self, case: Case, fabric: Fabric, folder: Path) -> None:
        self.case, self.folder = case, folder
        self.lines: list[dict[str, Any]] = []
        folder.mkdir(exist_ok=True)
        generator = torch.Generator().manual_seed(3)
        self.images = torch.randn(IMAGES, 3, 12, 10, generator=generator)
        self.masks = torch.randint(CLASSES, (IMAGES, 12, 10), generator=generator, dtype=torch.uint8)
        for number, mask in enumerate(self.masks):
            mask[: number + 3] = 255  # the processes have different numbers of labelled pixels
        share = {"rank": fabric.global_rank, "world": fabric.world_size}
        batch = 4 // case.accumulate
        self.batches = TrainBatches(IMAGES, batch=batch, accumulate=case.accumulate, seed=0, **share)
        model, objective = TwoHeads(case.head) if case.task else Model(), case.objective()
        optimizer = case.optimizer(optim.parameter_groups(model, objective))
        average = partial(EMA, decay=0.5) if case.average else None
        schedule = optim.cosine(optimizer, steps=STEPS)
        self.state = training.State(model, objective, optimizer, schedule, fabric, average=average)

    def __iter__(self) -> Iterator[Batch]:
        for keys in self.batches:
            index = torch.tensor([key[1] for key in keys])
            prepared = [self.state.objective.prepare(mask) for mask in self.masks[index]]
            yield Batch(self.images[index], self.masks[index], index, default_collate(prepared))

    def fit(self, steps: int = STEPS) -> dict[str, Any]:
        """Train to the end, or for so many steps, from where the folder stands; return the state."""
        if (self.folder / "last.pt").exists():
            self.state.load_state_dict(checkpoint.load(self.folder / "last.pt"))
        done = iter(range(1, steps + 1))
        options = training.FitOptions(epochs=3, accumulate=self.case.accumulate, freeze=self.case.freeze)
        try:
            training.fit(
                self.state,
                self,
                self.batches,
                options=options,
                validate=lambda: Evaluation({}, {"miou": 0.0}),
                watcher=self,
                stop=lambda: steps < STEPS and next(done) == steps,
            )
        except KeyboardInterrupt:
            assert steps < STEPS
        return self.state.state_dict()

    def save(self, kind: str) -> None:
        if self.state.fabric.is_global_zero:
            checkpoint.save(self.folder / f"{kind}.pt", self.state.state_dict())

    def line(self, line: dict[str, Any]) -> None:
        self.lines.append(line)

    def keep(self, epochs: Sequence[int]) -> None: ...

    def not_finite(self, batches: Sequence[Batch], skipped: bool) -> str:
        raise AssertionError


def slurm(rank: int) -> dict[str, str]:
    """What Slurm tells each of two nodes with one task."""
    whole = {"NTASKS": 2, "NNODES": 2, "NTASKS_PER_NODE": 1, "NODELIST": "localhost", "JOB_NAME": "job", "JOB_ID": 1}
    own = {"PROCID": rank, "NODEID": rank, "LOCALID": 0, "STEP_ID": 0}
    return {f"SLURM_{key}": str(value) for key, value in {**whole, **own}.items()}


def process(rank: int, folder: str, port: int) -> None:
    """What each of the two processes does: every case once, and one that another process began, and may end."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), **slurm(rank)}
    fabric = make_fabric(DeviceOptions(accelerator="cpu", precision="32-true"))
    found = {name: Run(case, fabric, Path(folder, name)).fit() for name, case in CASES.items()}
    found["begun by one"] = Run(CASES["all"], fabric, Path(folder, "begun by one")).fit()
    Run(CASES["all"], fabric, Path(folder, "begun by two")).fit(3)
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gloo")
    Run(CASES["all"], alone(), folder / "begun by one").fit(3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(process, (str(folder), port), nprocs=2)
    return folder


def alone() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def weights(state: dict[str, Any]) -> dict[str, Tensor]:
    """Of the model, of its average, and of the loss."""
    parts = [part for part in ("model", "average", "objective") if part in state]
    return {f"{part}.{name}": tensor for part in parts for name, tensor in state[part].items()}


def agree(state: dict[str, Any], expected: dict[str, Any]) -> None:
    assert state["position"]["epoch"] == expected["position"]["epoch"] == 3
    found, wanted = weights(state), weights(expected)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(
            found[name], tensor, rtol=0, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one(name: str, folder: Path, tmp_path: Path) -> None:
    both = [torch.load(folder / f"{rank}.pt")[name] for rank in range(2)]
    for one, other in zip(weights(both[0]).values(), weights(both[1]).values(), strict=True):
        assert torch.equal(one, other)
    expected = Run(CASES[name], alone(), tmp_path).fit()
    agree(both[0], expected)
    moved = Run(CASES[name], alone(), tmp_path / "new").state.state_dict()
    counting = ("weighting.sums", "weighting.count")  # begin anew with every epoch
    for key, weight in weights(expected).items():
        assert key.endswith(counting) or not torch.allclose(weights(moved)[key], weight, atol=1e-4), key


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("accumulated")])
def test_batches_of_a_step_train_as_one_larger_batch(name: str, folder: Path, tmp_path: Path) -> None:
    """Which has other labelled pixels in each of them; on one process and on two, and resumed."""
    case = CASES[name]
    expected = Run(replace(case, accumulate=1), alone(), tmp_path / "one")
    expected.fit()
    for number, count in enumerate((case.accumulate, 4)):
        run = Run(replace(case, accumulate=count), alone(), tmp_path / str(number))
        run.fit(3)
        agree(run.fit(), expected.state.state_dict())
        for line, other in zip(run.lines, expected.lines, strict=True):
            assert line["loss"] == pytest.approx(other["loss"], rel=1e-5)
    agree(torch.load(folder / "0.pt")[name], expected.state.state_dict())


def test_a_run_goes_on_with_another_number_of_processes(folder: Path, tmp_path: Path) -> None:
    expected = Run(CASES["all"], alone(), tmp_path).fit()
    agree(torch.load(folder / "0.pt")["begun by one"], expected)
    agree(Run(CASES["all"], alone(), folder / "begun by two").fit(), expected)


@pytest.mark.parametrize("steps", [2, 5])
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.weighting])
def test_weights_go_on_to_the_bit(name: str, steps: int, tmp_path: Path) -> None:
    whole = Run(CASES[name], alone(), tmp_path / "whole")
    expected = whole.fit()
    first, second = (Run(CASES[name], alone(), tmp_path / "parts") for _ in range(2))
    first.fit(steps)
    found = second.fit()
    for key, weight in weights(expected).items():
        assert torch.equal(weights(found)[key], weight), key
    for line, other in zip(first.lines + second.lines, whole.lines, strict=True):
        assert line["terms"] == other["terms"]
        assert line["weights"] == other["weights"]
        assert len(line["weights"]) == 2


def test_a_job_script_without_srun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its one process would wait for those of the other tasks."""
    for key, value in slurm(0).items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("SLURM_STEP_ID")
    with pytest.raises(ValueError, match="a process for each of the 2 tasks of Slurm's job, got this one alone; start"):
        make_fabric(DeviceOptions(accelerator="cpu", precision="32-true"))


def test_no_folder_is_named_after_the_time() -> None:
    """Processes that begin a second apart, as those of torchrun may, would disagree on it (hydra #2070)."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        hydra = compose("train", return_hydra_config=True).hydra
    found = [hydra.run._get_node("dir"), hydra.sweep._get_node("dir"), hydra.sweep._get_node("subdir")]
    assert [str(node._value()) for node in found] == [".", "${runs}/.sweep", "."]
