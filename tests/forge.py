"""Console scripts without their start: a process that has imported everything, and forks for each command.

python tests/forge.py SOCKET

A command takes 4 to 5 s to import torch and its companions, and the tests start hundreds. Each gets a process of its
own here as well: with its arguments, environment, working directory, output files and exit code. Tests of the start
itself, of signals and of memory begin with a fresh interpreter instead (`conftest.script_path`).
"""

import atexit
import gc
import json
import os
import signal
import socket
import sys
import threading
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import NoReturn

PRELOADED = (
    "hydra.main",
    "lightning.fabric",
    "matplotlib.pyplot",
    "rich.progress",
    "segmentation_models_pytorch",
    "seg.audit",
    "seg.commands._errors",
    "seg.commands._wiring",
    "seg.convert",
    "seg.synthetic",
    "torch.utils.tensorboard",
)


def main(path: str) -> None:
    """Serve one command after the other, until the other side closes."""
    os.environ["OPENCV_LOG_LEVEL"] = "OFF"  # read when OpenCV is loaded; as `seg.commands.run` sets them before
    for side, limit in (("PIXELS", 1 << 40), ("WIDTH", (1 << 31) - 1), ("HEIGHT", (1 << 31) - 1)):
        os.environ[f"OPENCV_IO_MAX_IMAGE_{side}"] = str(limit)
    for name in PRELOADED:
        import_module(name)
    scripts = {point.name: point.value for point in entry_points(group="console_scripts") if "seg." in point.value}
    gc.collect()
    gc.freeze()  # a collection writes to every object that it visits, and so copies the memory that processes share
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        for line in client.makefile():
            request = json.loads(line)
            if (child := os.fork()) == 0:
                client.detach()
                leave(become(scripts, request))
            client.sendall(f"{child}\n".encode())
            client.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())


def become(scripts: dict[str, str], request: dict[str, object]) -> int:
    """Run a console script in this process; what it raises ends the process as it would end a script's.

    Returns:
        The exit code of a script that returns or exits with a number.
    """
    os.setsid()
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command, *arguments = request["command"]
    sys.argv = [command, *arguments]
    module, _, function = scripts[Path(command).name].partition(":")
    sys.path[0] = str(Path(command).parent)
    try:
        result = getattr(import_module(module), function)()
    except SystemExit as error:
        result = error.code
    if result is not None and not isinstance(result, int):
        sys.exit(result)
    return result or 0


def leave(code: int) -> NoReturn:
    """End this process as an interpreter does, but without freeing what was imported, which takes 2 s here: memory that
    processes share is copied before it is freed."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
