"""What several test files share: a tiny labelled data set, and the console scripts."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer

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


class Forge:
    """Runs console scripts in processes that begin with everything imported; see forge.py."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(folder / "s"))
            server.listen()
            words = [sys.executable, str(Path(__file__).with_name("forge.py")), str(folder / "s")]
            self.process = subprocess.Popen(words, env={**os.environ, "MPLBACKEND": "Agg"})
            server.settimeout(300)
            self.connection, _ = server.accept()
        self.answers = self.connection.makefile()

    def run(self, command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
        files = {name: str(self.folder / name) for name in ("stdout", "stderr")}
        request = {"command": command, "cwd": str(cwd), "environment": dict(os.environ), **files}
        self.connection.sendall((json.dumps(request) + "\n").encode())
        child = int(self.answers.readline())
        limit = Timer(300, os.killpg, (child, signal.SIGKILL))
        limit.start()
        code = int(self.answers.readline())
        limit.cancel()
        texts = (Path(file).read_text(encoding="utf-8") for file in files.values())
        return subprocess.CompletedProcess(command, code, *texts)

    def close(self) -> None:
        self.answers.close()
        self.connection.close()
        self.process.wait(60)


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    forge = Forge(Path(tempfile.mkdtemp()))  # the path of a socket must be short
    yield forge
    forge.close()
    shutil.rmtree(forge.folder)


@pytest.fixture
def script(tmp_path: Path, forge: Forge) -> Script:
    """Run a console script in ``tmp_path``."""

    def run(name: str, /, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        words = [str(script_path(name)), *arguments, *(f"{key}={value}" for key, value in options.items())]
        return forge.run(words, tmp_path)

    return run


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


def train_options(data: Path) -> list[str]:
    """The overrides of a training run of seconds: of an encoder with half a million weights."""
    folders = [f"data.{part}.{kind}={data / part / kind}" for part in ("train", "val") for kind in ("images", "masks")]
    model = ["model=unet_small", "model.encoder_name=tu-test_resnet"]
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
