"""What several test files share: a tiny labelled data set, and the console scripts."""

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from textwrap import dedent
from types import MappingProxyType, ModuleType

import cv2
import numpy as np
import pytest

from seg.labels import Label, LabelMap

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

LABELS = LabelMap(
    [
        Label("sky", ((10, 20, 250),)),
        Label("road", ((120, 120, 120), (130, 130, 130))),
        Label("car", ((250, 10, 10),)),
        Label("void", ((0, 0, 0),), ignore=True),
    ]
)


def scene(seed: int, height: int = 64, width: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """An image whose colours say the class, with noise; mask with all classes and some ignored pixels."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    mask[height // 2 :] = 1
    y, x = rng.integers(height // 4, height // 2), rng.integers(0, width - 24)
    mask[y : y + 16, x : x + 24] = 2
    image = np.array(LABELS.palette, np.int64)[mask] + rng.integers(-20, 21, (height, width, 3))
    mask[:3] = 255
    return image.clip(0, 255).astype(np.uint8), mask


def write_pairs(folder: Path, count: int, first: int = 0, mask_name: str = "{}.png") -> None:
    """``folder/images`` and ``folder/masks`` with ``labels.yaml``."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for seed in range(first, first + count):
        image, mask = scene(seed)
        cv2.imwrite(str(folder / "images" / f"s{seed}.png"), image[..., ::-1])
        cv2.imwrite(str(folder / "masks" / mask_name.format(f"s{seed}")), mask)
    LABELS.save(folder / "masks" / "labels.yaml")


def shown_files(module: ModuleType) -> dict[str, str]:
    """The files that the documentation of a room shows, by name: what a newcomer would type off."""
    shown = re.findall(r"``([\w/]+\.(?:py|yaml))``.*::\n\n((?:    .*\n|\n)+)", module.__doc__ or "")
    return {name: dedent(text).strip() + "\n" for name, text in shown}


def write_shown_files(module: ModuleType, folder: Path) -> list[str]:
    """Write them below a folder, and return their names."""
    files = shown_files(module)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return list(files)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is remembered of files is not the user's while tests run; scripts that they start inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with train/ and val/, each with images/ and masks/."""
    write_pairs(tmp_path / "data" / "train", 6)
    write_pairs(tmp_path / "data" / "val", 2, first=100)
    return tmp_path / "data"


Script = Callable[..., subprocess.CompletedProcess[str]]


class Started:
    """A console script that runs, in a process group of its own."""

    def __init__(self, forge: "Forge", command: list[str], pid: int, stdout: Path, stderr: Path) -> None:
        self.forge, self.command, self.pid = forge, command, pid
        self.files = stdout, stderr

    @property
    def stdout(self) -> str:
        """What it has written so far."""
        return self.files[0].read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        return self.files[1].read_text(encoding="utf-8")

    def poll(self) -> int | None:
        self.forge.listen(0)
        return self.forge.codes.get(self.pid)

    def until(self, condition: Callable[[], bool], seconds: float = 200) -> None:
        """Wait for what it does."""
        end = time.monotonic() + seconds
        while not condition():
            assert self.poll() is None, self.wait().stderr
            assert time.monotonic() < end, self.kill().stderr
            time.sleep(0.01)

    def send_signal(self, number: int, *, to_all: bool = False) -> None:
        (os.killpg if to_all else os.kill)(self.pid, number)

    def wait(self, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """Its end, which is one by SIGKILL if it takes longer."""
        end = time.monotonic() + seconds
        while (code := self.poll()) is None and (left := end - time.monotonic()) > 0:
            self.forge.listen(left)
        if code is None:
            return self.kill()
        texts = (file.read_text(encoding="utf-8") for file in self.files)
        return subprocess.CompletedProcess(self.command, code, *texts)

    def all_end(self) -> None:
        """Wait until nothing is left of its process group."""
        end = time.monotonic() + 60
        with suppress(ProcessLookupError):
            while True:
                os.killpg(self.pid, 0)
                assert time.monotonic() < end, "a process that it started goes on"
                time.sleep(0.05)

    def kill(self) -> subprocess.CompletedProcess[str]:
        if self.poll() is None:
            self.send_signal(signal.SIGKILL, to_all=True)
        return self.wait()


class Forge:
    """Starts console scripts in processes that begin with everything imported; see forge.py."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(folder / "s"))
            server.listen()
            words = [sys.executable, str(Path(__file__).with_name("forge.py")), str(folder / "s")]
            # threads that wait for others of a busy machine must not keep these from computing
            environment = {**os.environ, "MPLBACKEND": "Agg", "OMP_WAIT_POLICY": "passive"}
            self.process = subprocess.Popen(words, env=environment)
            server.settimeout(300)
            self.connection, _ = server.accept()
        self.heard, self.pid = b"", 0
        self.codes: dict[int, int] = {}

    def start(
        self, command: list[str], cwd: Path, environment: Mapping[str, str], limits: Mapping[str, int]
    ) -> Started:
        self.count += 1
        files = {name: self.folder / f"{self.count}.{name}" for name in ("stdout", "stderr")}
        for file in files.values():
            file.touch()  # a command may be looked at before it begins
        about = {"cwd": str(cwd), "environment": {**os.environ, **environment}, "limits": dict(limits)}
        request = {"command": command, **about, **{name: str(file) for name, file in files.items()}}
        self.pid = 0
        self.connection.sendall((json.dumps(request) + "\n").encode())
        while not self.pid:
            self.listen(60)
        self.codes.pop(self.pid, None)  # of an older process of the same number
        return Started(self, command, self.pid, **files)

    def listen(self, seconds: float) -> None:
        """Take in what has been started and what has ended, if anything does so within ``seconds``."""
        if not select.select([self.connection], [], [], seconds)[0]:
            return
        *lines, self.heard = (self.heard + self.connection.recv(1 << 16)).split(b"\n")
        for line in lines:
            word, *numbers = line.split()
            if word == b"started":
                self.pid = int(numbers[0])
            else:
                self.codes[int(numbers[0])] = int(numbers[1])

    def close(self) -> None:
        self.connection.close()
        self.process.wait(60)


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    forge = Forge(Path(tempfile.mkdtemp()))  # the path of a socket must be short
    yield forge
    forge.close()
    shutil.rmtree(forge.folder)


@pytest.fixture
def start_in(forge: Forge) -> Iterator[Callable[..., Started]]:
    """Start a console script in a folder, the first argument, with variables and limits; it ends with the test."""
    running: list[Started] = []

    def run(
        folder: Path,
        name: str,
        /,
        *arguments: str,
        environment: Mapping[str, str] = MappingProxyType({}),
        limits: Mapping[str, int] = MappingProxyType({}),
    ) -> Started:
        running.append(forge.start([str(script_path(name)), *arguments], folder, environment, limits))
        return running[-1]

    yield run
    for each in running:
        each.kill()


@pytest.fixture
def start(tmp_path: Path, start_in: Callable[..., Started]) -> Callable[..., Started]:
    """Start a console script in ``tmp_path``."""
    return partial(start_in, tmp_path)


@pytest.fixture(scope="session")
def script_in(forge: Forge) -> Script:
    """Run a console script in a folder, the first argument."""

    def run(folder: Path, name: str, /, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        words = [str(script_path(name)), *arguments, *(f"{key}={value}" for key, value in options.items())]
        return forge.start(words, folder, {}, {}).wait()

    return run


@pytest.fixture
def script(tmp_path: Path, script_in: Script) -> Script:
    """Run a console script in ``tmp_path``."""
    return partial(script_in, tmp_path)


@pytest.fixture
def fresh_script(tmp_path: Path) -> Script:
    """As `script`, in a fresh interpreter: for what is decided when that or a library starts."""

    def run(name: str, /, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        words = [str(script_path(name)), *arguments, *(f"{key}={value}" for key, value in options.items())]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

    return run


def script_path(name: str) -> Path:
    """Where the installation put a console script."""
    return Path(sys.executable).parent / name


# a U-Net with residual branches and batch normalisation like the large ones, and 80 thousand weights
SMALLEST = (
    "model=unet_small",
    "model.encoder_name=tu-test_resnet",
    "+model.encoder_depth=3",
    "model.decoder_channels=[16,8,8]",
)


def train_options(data: Path, model: Sequence[str] = SMALLEST) -> list[str]:
    """The overrides of a training run of a second."""
    folders = [f"data.{part}.{kind}={data / part / kind}" for part in ("train", "val") for kind in ("images", "masks")]
    return [*folders, *model, "loader.batch=2", "loader.workers=0", "fit.epochs=2", "pictures=1"]


def fails(result: "subprocess.CompletedProcess[str]", code: int, message: str) -> None:
    """One line on standard error that matches; no traceback."""
    assert result.returncode == code, result.stderr + result.stdout
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert re.search(message, last), last


def hear_hangups() -> None:
    """For ``preexec_fn``: tests that were started by nohup, or in the background, ignore SIGHUP or SIGINT, and so would
    what they start."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
