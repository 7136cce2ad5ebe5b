"""Devices, precision and processes."""

import logging
import os
import warnings

import torch
from lightning.fabric import Fabric


def make_fabric(*, accelerator: str, devices: int, precision: str) -> Fabric:
    """Device, precision and processes, launched.

    Raises:
        ValueError: they cannot be had here.
    """
    for noisy in ("lightning.fabric", "huggingface_hub"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    nodes = 1
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        devices, nodes = _world_of_torchrun(devices)
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
    wanted_world = nodes * len(getattr(fabric.strategy, "parallel_devices", None) or [None])
    if fabric.world_size != wanted_world:
        raise ValueError(
            f"device.devices: expected {wanted_world} processes, got {fabric.world_size}, as the environment says; "
            "start one task for each device (srun --ntasks=N, torchrun --nproc-per-node=N), or ask for fewer devices"
        )
    return fabric


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
