"""Devices, precision and processes."""

import atexit
import logging
import os
import warnings
from collections.abc import Callable
from typing import TypeVar

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.rank_zero import rank_zero_only

from seg.files.errors import AlreadyTold
from seg.training.signals import end_with_parent

T = TypeVar("T")


AUTO = "auto"


def precision_here(accelerator: str) -> str:
    """The precision that ``auto`` means on this machine: bfloat16 where the hardware computes with it, else float32.

    A CPU needs AMX or AVX512-BF16 for that, a GPU of Nvidia's the Ampere generation; where it is emulated, float32 is
    faster.
    """
    if accelerator == "cpu" or (accelerator == AUTO and not torch.accelerator.is_available()):
        found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        native = bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    else:
        native = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16-mixed" if native else "32-true"


def make_fabric(*, accelerator: str, devices: int, precision: str, deterministic: bool) -> Fabric:
    """Device, precision and processes, launched.

    Args:
        deterministic: refuse operations whose result differs from call to call, and choose slower ones instead.

    Raises:
        ValueError: they cannot be had here.
    """
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")  # TF32, which convolutions use anyway
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    for noisy in ("lightning.fabric", "lightning.pytorch", "huggingface_hub"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")  # nobody has to use it
    nodes = 1
    if _by_torchrun():
        devices, nodes = _world_of_torchrun(devices)
    elif SLURMEnvironment.detect():
        nodes = _nodes_of_slurm()
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            precision=precision,  # type: ignore[arg-type]
        )
    except Exception as error:  # Fabric's MisconfigurationException derives from Exception alone
        wanted = f"accelerator={accelerator} devices={devices} precision={precision}"
        raise ValueError(f"device: expected what this machine has, got {wanted}: {error}") from None
    fabric.launch()
    if fabric.world_size > 1:
        atexit.register(_leave_world)
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


def told_by_first(fabric: Fabric, work: Callable[[], T]) -> T:
    """What the first process's ``work`` returns, on every process.

    Raises:
        Exception: what ``work`` raised, on the first process. The others raise `AlreadyTold`: one message is enough.
    """
    told: tuple[T | None, Exception | None] = None, None
    if fabric.is_global_zero:
        try:
            told = work(), None
        except Exception as error:  # of any kind: the others must not wait for an answer for ever
            told = None, error
    found, error_ = fabric.broadcast(told)
    if error_ is not None:
        if fabric.is_global_zero:
            raise error_
        raise AlreadyTold
    return found  # type: ignore[return-value]  # None only where T is


def told_once(fabric: Fabric, work: Callable[[], T]) -> T:
    """What ``work`` returns, which every process does, and which fails on all of them if it does.

    Raises:
        Exception: what ``work`` raised; where the first process fails too, it alone tells.
    """
    result, error = None, None
    try:
        result = work()
    except Exception as raised:
        error = raised
    first_failed = fabric.broadcast(error is not None)
    if first_failed and not fabric.is_global_zero:
        raise AlreadyTold
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # None only where T is


def is_first() -> bool:
    """Whether this process is the first of its world, or the only one; known from the environment, before any launch.

    Asked anew for every job of a sweep, because only the first job starts the other processes.
    """
    rank: int | None = getattr(rank_zero_only, "rank", None)
    return not rank


def _leave_world() -> None:
    """Threads that gloo leaves running at the end of a process abort it now and then."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _by_torchrun() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()


def _world_of_torchrun(devices: int) -> tuple[int, int]:
    """Devices and nodes that torchrun has started processes for.

    Raises:
        ValueError: the configuration asks for other ones.
    """
    here, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    if devices not in (1, here):
        raise ValueError(
            f"device.devices: expected {here}, as many as torchrun has started, got {devices}; leave it out"
        )
    return here, everywhere // here


def _nodes_of_slurm() -> int:
    """Nodes of the job.

    Raises:
        ValueError: it has several tasks, and this process is none of them: it would wait for the others for ever.
    """
    tasks = int(os.environ["SLURM_NTASKS"])
    if tasks > 1 and "SLURM_STEP_ID" not in os.environ:
        raise ValueError(
            f"device: expected a process for each of the {tasks} tasks of Slurm's job, got this one alone; start them "
            "with srun, or ask Slurm for one task"
        )
    return int(os.environ.get("SLURM_NNODES", "1"))
