"""The device of a run: precision, processes, memory."""

import atexit
import logging
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy
import segmentation_models_pytorch
import torch
import torchvision

from seg.files import checks
from seg.inference import keep_freed_memory, return_freed_memory
from seg.training.fabric import Fabric, SLURMEnvironment
from seg.training.processes import leave_world
from seg.training.signals import end_with_parent

AUTO = "auto"
_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class DeviceOptions:
    """Where and how a run computes: the group ``device``.

    Args:
        accelerator: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        devices: their number, -1 = all GPUs; each has a process.
        precision: as Fabric names it, or ``auto``, see `precision_here`.
        compile: compile the training steps.
        deterministic: refuse operations whose result differs from call to call, and choose slower ones instead.
        sync_batchnorm: normalise over the batches of all GPUs.

    Raises:
        ValueError: another value, or no GPU to synchronise.
    """

    accelerator: str = AUTO
    devices: int = 1
    precision: str = AUTO
    compile: bool = False
    deterministic: bool = False
    sync_batchnorm: bool = False

    def __post_init__(self) -> None:
        checks.choice("device.accelerator", self.accelerator, (AUTO, "cpu", "cuda", "gpu", "mps"))
        if self.devices != -1:
            checks.whole("device.devices", self.devices, 1)
        for name in ("compile", "deterministic", "sync_batchnorm"):
            checks.flag(f"device.{name}", getattr(self, name))
        if self.sync_batchnorm and not torch.cuda.is_available():
            raise ValueError(
                "device.sync_batchnorm: expected GPUs, got none; torch synchronises it on them alone: leave it out"
            )


def precision_here(accelerator: str) -> str:
    """Choose what ``auto`` means on this machine: bfloat16 where the hardware computes with it, else float32.

    A CPU needs AMX or AVX512-BF16 for that, a GPU of Nvidia's the Ampere generation; where it is emulated, float32 is
    faster.
    """
    if accelerator == "cpu" or (accelerator == AUTO and not torch.accelerator.is_available()):
        found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        native = bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    else:
        native = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16-mixed" if native else "32-true"


def make_fabric(options: DeviceOptions) -> Fabric:
    """Launch the processes of a run on their devices.

    Raises:
        ValueError: they cannot be had here.
    """
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")  # TF32, which convolutions use anyway
    if options.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(options.deterministic)
    keep_freed_memory()
    for noisy in ("lightning_fabric", "huggingface_hub"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")  # nobody has to use it
    nodes, devices = 1, options.devices
    if _by_torchrun():
        devices, nodes = _world_of_torchrun(devices)
    elif SLURMEnvironment.detect():
        nodes = _nodes_of_slurm()
    try:
        fabric = Fabric(
            accelerator=options.accelerator,
            devices=devices,
            num_nodes=nodes,
            precision=options.precision,  # type: ignore[arg-type]
        )
    except Exception as error:  # Fabric's MisconfigurationException derives from Exception alone
        wanted = f"accelerator={options.accelerator} devices={devices} precision={options.precision}"
        raise ValueError(
            f"device: expected what this machine has, got {wanted} ({' '.join(str(error).split())}); give auto for "
            "accelerator and precision, and fewer devices"
        ) from None
    fabric.launch()
    if fabric.world_size > 1:
        atexit.register(leave_world)
    if fabric.local_rank > 0 and not _by_torchrun():
        end_with_parent()
    wanted_world = nodes * len(getattr(fabric.strategy, "parallel_devices", None) or [None])
    if fabric.world_size != wanted_world:
        raise ValueError(
            f"device.devices: expected {wanted_world} processes, got {fabric.world_size}, as the environment says; "
            "start one task for each device (srun --ntasks-per-node=N, torchrun --nproc-per-node=N), or ask for fewer "
            "devices"
        )
    return fabric


def library_versions() -> dict[str, str]:
    """Return the versions of what a result depends on, by the names of the modules."""
    modules = (torch, torchvision, segmentation_models_pytorch, numpy, cv2)
    return {module.__name__: str(module.__version__) for module in modules}


def gpu_names() -> list[str]:
    """Return the names of the GPUs in this machine."""
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def hardware() -> dict[str, Any]:
    """Return what `seg.runs.environment` records of libraries, threads and GPUs."""
    return {"libraries": library_versions(), "threads": torch.get_num_threads(), "gpus": gpu_names()}


def forget_peak(device: torch.device) -> None:
    """Begin to measure: of several runs in one process, each is to have a peak of its own."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        return_freed_memory()
        try:
            _FORGET.write_text("5")
        except OSError:  # not Linux, or not allowed
            return


def peak_memory(device: torch.device) -> int | None:
    """Return the most bytes since: torch's on a GPU, else those of the training process; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    except (OSError, KeyError):
        return None


def _by_torchrun() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()


def _world_of_torchrun(devices: int) -> tuple[int, int]:
    """Return the devices and nodes that torchrun has started processes for; refuse other ones."""
    here, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    if devices not in (1, here):
        raise ValueError(
            f"device.devices: expected {here}, as many as torchrun has started, got {devices}; leave it out"
        )
    return here, everywhere // here


def _nodes_of_slurm() -> int:
    """Return the nodes of the job; refuse to be one process beside several tasks: it would wait for them for ever."""
    tasks = int(os.environ["SLURM_NTASKS"])
    if tasks > 1 and "SLURM_STEP_ID" not in os.environ:
        raise ValueError(
            f"device: expected a process for each of the {tasks} tasks of Slurm's job, got this one alone; start them "
            "with srun, or ask Slurm for one task"
        )
    return int(os.environ.get("SLURM_NNODES", "1"))
