"""Commands of pages without their start: one process has imported everything, and forks for each command.

To import torch and its companions takes 5 to 10 s, and the pages give more than a hundred commands. Each gets a process
of its own here as well, with its words, environment, working directory, streams and exit code: what `tests/forge.py`
does for the tests. `shims` writes a small script for each command into a folder that comes first on the path of pages,
so that loops, pipes and redirections of bash work as they stand in the page.

    python docs/extensions/warm.py SOCKET     the server
"""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).resolve().parent
SESSION = "page-python"
"""The command that runs the Python of a page, `session.py`."""

SHIM = """#!{python} -ISs
import json, os, signal, socket, struct, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    told = json.dumps({{"command": sys.argv, "environment": dict(os.environ), "cwd": os.getcwd()}}).encode()
    socket.send_fds(server, [struct.pack("!I", len(told))], [0, 1, 2])
    server.sendall(told)
    child = struct.unpack("!i", server.recv(4, socket.MSG_WAITALL))[0]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(child, number))
    code = struct.unpack("!i", server.recv(4, socket.MSG_WAITALL))[0]
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


class Warm:
    """The server, for as long as a ``with`` lasts.

    Args:
        bin: the folder that the scripts are written into.
    """

    def __init__(self, bin: Path) -> None:
        self.bin = bin
        self.path = Path(tempfile.mkdtemp()) / "socket"  # whose path must be short

    def __enter__(self) -> "Warm":
        self.bin.mkdir(parents=True, exist_ok=True)
        for name in (*scripts(), SESSION):
            shim = self.bin / name
            shim.write_text(SHIM.format(python=sys.executable, path=str(self.path)))
            shim.chmod(0o755)
        ready, told = os.pipe()
        words = [sys.executable, __file__, str(self.path), str(told)]
        environment = {**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(words, env=environment, pass_fds=[told])
        os.close(told)
        with open(ready, "rb") as file:  # noqa: PTH123
            if not file.read(1):
                raise RuntimeError(f"expected a process that waits for commands, got exit code {self.process.wait()}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.path.parent)


def scripts() -> dict[str, str]:
    """Return the toolkit's commands: module and function by name."""
    return {point.name: point.value for point in entry_points(group="console_scripts") if "seg." in point.value}


def serve(path: str, told: int) -> None:
    """Wait for commands; fork for each one a process that tells its caller how it ended."""
    sys.path.insert(0, str(HERE.parents[1] / "tests"))
    from forge import become, leave, prepare

    prepare()
    known = scripts()
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    os.write(told, b"1")
    os.close(told)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        caller, _ = server.accept()
        if os.fork():
            caller.close()
            continue
        server.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        request, streams = heard(caller)
        if (child := os.fork()) == 0:
            caller.close()
            os.setsid()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            # those of the server are of other files
            sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
            sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            leave(become({**known, SESSION: "session:main"}, request))
        for stream in streams:
            os.close(stream)
        with suppress(BrokenPipeError):  # the caller was killed
            threading.Thread(target=follow, args=(caller, child), daemon=True).start()
            caller.sendall(struct.pack("!i", child))
            caller.sendall(struct.pack("!i", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
        os._exit(0)


def follow(caller: socket.socket, child: int) -> None:
    """Kill a command whose caller is gone: ``kill -9`` on a page means the command, but knows its caller alone."""
    with suppress(OSError):
        caller.recv(1)  # which it never sends
        os.kill(child, signal.SIGKILL)


def heard(caller: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return what a script asks for, and its three streams."""
    head, streams, _, _ = socket.recv_fds(caller, 4, 3)
    size, text = struct.unpack("!I", head)[0], b""
    while len(text) < size:
        text += caller.recv(size - len(text))
    return json.loads(text), streams


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
