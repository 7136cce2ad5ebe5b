"""Console scripts without their start: a process that has imported everything, and forks for each command.

python tests/forge.py SOCKET

A command takes 4 to 5 s to import torch and its companions, and the tests start hundreds. Each gets a process of its
own here as well: with its arguments, environment, working directory, limits, output files and exit code; and so does
the second process of a command on two devices. Tests of the start itself, and of memory, begin with a fresh interpreter
instead (`conftest.script_path`).
"""

import atexit
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import threading
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import torch

PRELOADED = (
    "hydra.main",
    "lightning_fabric",
    "matplotlib.pyplot",
    "rich.progress",
    "segmentation_models_pytorch",
    "seg.audit",
    "seg.commands.cli.errors",
    "seg.commands.build",
    "seg.convert",
    "seg.synthetic",
    "torch.utils.tensorboard",
)


class Second:
    """A process that waits to become the second one of a command, as Lightning would start it; a `Popen` to that.

    It is made before the command begins, and so knows nothing of the first one.
    """

    def __init__(self, scripts: dict[str, str]) -> None:
        heard, self.told = os.pipe()
        self.returncode: int | None = None
        if (pid := os.fork()) == 0:
            os.close(self.told)
            with open(heard) as file:  # noqa: PTH123
                line = file.readline()
            if not line:  # there is no first process any more, and it wanted no other
                os._exit(0)
            leave(become(scripts, json.loads(line)))
        os.close(heard)
        self.pid = pid

    def start(self, command: list[str], env: dict[str, str], cwd: str | None) -> None:
        request = {"command": command[1:], "environment": env, "cwd": cwd or str(Path.cwd())}
        with open(self.told, "w") as file:  # noqa: PTH123
            file.write(json.dumps(request) + "\n")

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def prepare() -> None:
    """Import everything, as a command would have found it."""
    os.environ["OPENCV_LOG_LEVEL"] = "OFF"  # read when OpenCV is loaded; as `seg.commands.run` sets them before
    for side, limit in (("PIXELS", 1 << 40), ("WIDTH", (1 << 31) - 1), ("HEIGHT", (1 << 31) - 1)):
        os.environ[f"OPENCV_IO_MAX_IMAGE_{side}"] = str(limit)
    for name in PRELOADED:
        import_module(name)
    gc.collect()
    gc.freeze()  # a collection writes to every object that it visits, and so copies the memory that processes share


def main(path: str) -> None:
    """Start what is asked for, and tell what has ended, until the other side closes."""
    prepare()
    scripts = {point.name: point.value for point in entry_points(group="console_scripts") if "seg." in point.value}
    heard, wakeup = socket.socketpair()
    for end in (heard, wakeup):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakeup.fileno())
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    requests, running = client.makefile(), set[int]()
    while True:
        ready, _, _ = select.select([client, heard], [], [])
        if client in ready:
            if not (line := requests.readline()):
                return
            if (child := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                requests.close()
                for end in (client, heard, wakeup):
                    end.close()
                leave(begin(scripts, json.loads(line)))
            running.add(child)
            client.sendall(f"started {child}\n".encode())
        if heard in ready:
            heard.recv(1 << 16)
            for child in sorted(running):
                pid, status = os.waitpid(child, os.WNOHANG)
                if pid:
                    running.discard(child)
                    client.sendall(f"ended {child} {os.waitstatus_to_exitcode(status)}\n".encode())


def begin(scripts: dict[str, str], request: dict[str, Any]) -> int:
    """Leave the session, the files and the limits of the process that this one was forked from, and `become`."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    os.close(null)
    if encoding := request["environment"].get("PYTHONIOENCODING"):  # as an interpreter reads it
        sys.stdout.reconfigure(encoding=encoding, errors="strict")
        sys.stderr.reconfigure(encoding=encoding, errors="backslashreplace")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # both may be ignored by what started the tests
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for name, limit in request["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    devices = [int(word.partition("=")[2]) for word in request["command"] if word.startswith("device.devices=")]
    others = [Second(scripts) for _ in range(1, *devices[:1])] if devices else []

    def launch(command: list[str], env: dict[str, str], cwd: str | None) -> Second:
        other = others.pop(0)
        other.start(command, env, cwd)
        return other

    if others:
        launcher = import_module("lightning_fabric.strategies.launchers.subprocess_script")
        launcher.subprocess = SimpleNamespace(Popen=launch)  # type: ignore[attr-defined]
    return become(scripts, request)


def become(scripts: dict[str, str], request: dict[str, Any]) -> int:
    """Run a console script in this process; what it raises ends the process as it would end a script's.

    Returns:
        The exit code of a script that returns or exits with a number.
    """
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    if threads := os.environ.get("OMP_NUM_THREADS"):  # this as well as the next are read when they are loaded
        torch.set_num_threads(int(threads))
    rank = import_module("lightning_fabric.utilities.rank_zero")
    rank.rank_zero_only.rank = rank._get_rank() or 0
    command, *arguments = request["command"]
    sys.argv = [command, *arguments]
    module, _, function = scripts[Path(command).name].partition(":")
    paths = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:1] = [str(Path(command).parent), *paths]
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
