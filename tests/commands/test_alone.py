"""Commands keep to themselves: no network, and no file outside the folders that they were given.

Python's audit events see what its own code and that of pure Python libraries does; that native code (onnxruntime's
telemetry) writes nothing below the home directory is seen by an empty one.
"""

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from conftest import LABELS, train_options

DRIVER = dedent(
    """
    import importlib, json, os, socket, sys
    inside = [os.path.realpath(path) for path in (os.getcwd(), os.environ["TMPDIR"])]
    seen = []

    def allowed(path):
        if isinstance(path, int):
            return True
        real = os.path.realpath(os.fsdecode(path))
        return real.startswith(("/dev/", "/proc/")) or any(os.path.commonpath((real, each)) == each for each in inside)

    def watch(event, arguments):
        if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
            seen.append([event, repr(arguments[0])])
        elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            if arguments[0].family != socket.AF_UNIX:
                seen.append([event, repr(arguments[1])])
        elif event == "open":
            path, mode, flags = arguments
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not allowed(path):
                seen.append([event, str(path)])
        elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.symlink", "os.rename"):
            if not allowed(arguments[1 if event in ("os.symlink", "os.rename") else 0]):
                seen.append([event, str(arguments[0])])

    sys.addaudithook(watch)
    codes = []
    for command, *options in json.loads(sys.argv[1]):
        sys.argv = [command, *options]
        try:
            importlib.import_module(f"seg.commands.{command.removeprefix('seg-')}").main()
            codes.append([command, 0])
        except SystemExit as end:
            codes.append([command, end.code or 0])
    print(json.dumps({"seen": seen, "codes": codes}))
    """
)


def run_alone(tmp_path: Path, calls: list[list[str]]) -> list[list[str]]:
    """Run commands one after another in a process that is watched; what they did that they must not."""
    home, work, temporary = (tmp_path / name for name in ("home", "work", "tmp"))
    for folder in (home, work, temporary):
        folder.mkdir()
    kept = {"PATH": "/usr/bin:/bin", "HOME": str(home), "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    # what was checked is remembered in the one, as are matplotlib's fonts, which makes the other
    kept |= {"XDG_CACHE_HOME": str(temporary / "cache"), "XDG_CONFIG_HOME": str(temporary / "config")}
    argv = [sys.executable, "-B", "-c", DRIVER, json.dumps(calls)]
    done = subprocess.run(argv, cwd=work, env=kept, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert [call for call in told["codes"] if call[1]] == [], done.stderr
    assert list(home.rglob("*")) == []
    return list(told["seen"])


def test_the_watcher_sees(tmp_path: Path) -> None:
    """The test above can fail: a call that looks a host up, or writes elsewhere, is found."""
    driver = DRIVER.replace("codes = []", "codes = []\ntry: socket.getaddrinfo('localhost', 9)\nexcept OSError: pass")
    (tmp_path / "elsewhere").mkdir()
    driver = driver.replace("codes = []", f"codes = []\nopen({str(tmp_path / 'elsewhere' / 'a')!r}, 'w').close()", 1)
    (tmp_path / "here").mkdir()
    env = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path / "here")}
    done = subprocess.run(
        [sys.executable, "-c", driver, "[]"], cwd=tmp_path / "here", env=env, capture_output=True, text=True, check=True
    )
    assert [event for event, _ in json.loads(done.stdout)["seen"]] == ["open", "socket.getaddrinfo"]


@pytest.mark.slow
def test_every_command(data: Path, tmp_path: Path) -> None:
    """In the order in which a user calls them, with TensorBoard's events and an export that ONNX Runtime checks."""
    train, val = ([f"images={data / part / 'images'}", f"masks={data / part / 'masks'}"] for part in ("train", "val"))
    best = "checkpoint=runs/a/best.pt"
    calls = [
        [
            "seg-preprocess",
            f"source={data / 'val' / 'masks'}",
            "destination=colours",
            "inverse=true",
            f"labels={tmp_path / 'map.yaml'}",
        ],
        ["seg-preprocess", "source=colours", "destination=converted", f"labels={tmp_path / 'map.yaml'}"],
        ["seg-audit", *train, "destination=audit"],
        ["seg-augment", *train, "destination=augmented"],
        ["seg-train", *train_options(data), "name=a"],
        ["seg-train", *train_options(data), "name=b", "seed=1", "loss=focal", "logger=none"],
        ["seg-evaluate", best, *val, "destination=scores"],
        ["seg-predict", best, val[0], "destination=predicted"],
        ["seg-diagnose", best, val[0], "destination=diagnosis"],
        ["seg-export", best, "destination=model.onnx"],
        ["seg-predict", "checkpoint=model.onnx", val[0], "destination=predicted2"],
        ["seg-compare", "runs=runs", "destination=report"],
    ]
    LABELS.save(tmp_path / "map.yaml")
    assert run_alone(tmp_path, calls) == []


@pytest.mark.parametrize("logger", ["mlflow", "wandb"])
def test_trackers_offline(data: Path, tmp_path: Path, logger: str) -> None:
    pytest.importorskip(logger, reason=f"needs pip install 'seg-toolkit[{logger}]'")
    assert run_alone(tmp_path, [["seg-train", *train_options(data), "name=a", f"logger={logger}"]]) == []
