"""Checkpoints of unknown origin: nothing in them is run, fetched or written.

python -m pytest tests/commands/test_hostile.py
"""

import http.server
import os
import pickle
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from conftest import Script, fails, train_options

from seg import models
from seg.inference import trained
from seg.models import checkpoint

GOOD = Path(__file__).parents[1] / "golden" / "format1" / "last.pt"


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path, how: str) -> None:
        self.marker, self.how = marker, how

    def __reduce__(self) -> tuple[Any, ...]:
        program = f"open({str(self.marker)!r}, 'w')"
        return {
            "eval": (eval, (program,)),
            "system": (os.system, (f"touch {self.marker}",)),
            "open": (open, (str(self.marker), "w")),
            "popen": (subprocess.Popen, ([sys.executable, "-c", program],)),
            "load": (torch.load, (str(self.marker) + ".pt",)),
        }[self.how]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("how", ["eval", "system", "open", "popen", "load"])
@pytest.mark.parametrize("place", ["model", "config", "labels", "format", "optimizer"])
def test_pickles_run_nothing(tmp_path: Path, how: str, place: str, zipped: bool) -> None:
    state = trained.read(GOOD)
    state[place] = {"x": Payload(tmp_path / "marker", how)}
    torch.save(state, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    for read in (checkpoint.load, trained.read, trained.load):
        with pytest.raises(ValueError, match="checkpoint: expected plain data and tensors as seg-train writes them"):
            read(tmp_path / "a.pt")
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(state))
    with pytest.raises(ValueError, match="checkpoint: expected plain data"):
        trained.load(tmp_path / "raw.pt")
    assert {path.name for path in tmp_path.iterdir()} == {"a.pt", "raw.pt"}


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a local server is asked for, which all known ways to fetch lead to."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("HF_ENDPOINT", address)
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
            monkeypatch.setenv(name, address)
        asked.append(address)
        yield asked
        server.shutdown()


TARGETS = ["seg.models.build", *(f"smp.{kind.__name__}" for kind in smp.MODEL_ARCHITECTURES_MAPPING.values())]
ARGUMENTS: dict[str, Any] = {
    "pretrained": True,
    "pretrained_cfg": {"url": "URL/x.pth", "file": "x.pth"},
    "pretrained_cfg_overlay": {"file": "FOLDER/x.pth", "url": "URL/x.pth"},
    "checkpoint_path": "FOLDER/x.pth",
    "cache_dir": "FOLDER/cache",
    "url": "URL/x.pth",
    "features_only": False,
    "scriptable": True,
    "aux_params": {"classes": 2},
    "activation": "FOLDER/x",
    "decoder_use_norm": {"type": "URL"},
    "decoder_channels": [10**9] * 5,
    "encoder_depth": float("nan"),
    "in_channels": 10**12,
    "strict": False,
    "kwargs": {"cache_dir": "FOLDER"},
    "self": 1,
    "model_name": "hf-hub:x/y",
}
ENCODERS = ["tu-hf-hub:x/y", "tu-hf_hub:x/y", "tu-local-dir:FOLDER", "hf-hub:x/y", "../x", "tu-", ["resnet18"], 7]


def filled(value: Any, url: str, folder: Path) -> Any:
    if isinstance(value, dict):
        return {key: filled(item, url, folder) for key, item in value.items()}
    return value.replace("URL", url).replace("FOLDER", str(folder)) if isinstance(value, str) else value


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("encoder", ["resnet18", "tu-test_resnet"])
def test_arguments_that_fetch_or_write_are_refused(
    target: str, encoder: str, tmp_path: Path, requests: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the model is built: building would raise something else, or succeed."""
    for name in ("TORCH_HOME", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    torch.save({"evil": Payload(tmp_path / "marker", "eval")}, tmp_path / "x.pth")
    base = {"_target_": target.replace("smp.", "segmentation_models_pytorch."), "classes": 3, "encoder_name": encoder}
    if target == "seg.models.build":
        base["architecture"] = "unet"
    address = requests.pop()
    for name, value in ARGUMENTS.items():
        config = {**base, name: filled(value, address, tmp_path)}
        with pytest.raises(ValueError, match=f"checkpoint: expected options of .* got {name}="):
            models.restore(config, {})
    for other in ENCODERS:
        with pytest.raises(ValueError, match="checkpoint: expected an encoder of smp or timm"):
            models.restore({**base, "encoder_name": filled(other, address, tmp_path)}, {})
    assert requests == []
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


def test_weights_are_never_fetched(requests: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where smp's own default is to fetch them, or the checkpoint asks for it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    requests.pop()
    model = smp.Linknet("resnet18", encoder_weights=None, classes=3)
    for more in ({}, {"encoder_weights": "imagenet"}, {"encoder_weights": str(tmp_path)}):
        config = {"_target_": "segmentation_models_pytorch.Linknet", "encoder_name": "resnet18", "classes": 3, **more}
        again = models.restore(config, model.state_dict())
        assert torch.equal(again.encoder.conv1.weight, model.encoder.conv1.weight)
    assert requests == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "target",
    ["os.system", "torch.hub.load", "torch.load", "seg.files.make_folder", "seg.models.restore", "builtins.eval", 7, "",
     "segmentation_models_pytorch.create_model", "segmentation_models_pytorch.from_pretrained", "my_module.Evil", None],
)  # fmt: skip
def test_other_targets_are_not_even_imported(target: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_module.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    config = {"_target_": target, "architecture": "unet", "classes": 3}
    with pytest.raises(ValueError, match="expected a model made by seg.models.build or a class of segmentation_models"):
        models.restore(config, {})
    assert not (tmp_path / "marker").exists()
    assert "my_module" not in sys.modules


def test_sealed_refuses_and_reads(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")

    def attempts() -> None:
        for attempt in (
            lambda: (tmp_path / "b").write_text(""),
            lambda: (tmp_path / "c").mkdir(),
            lambda: (tmp_path / "a").unlink(),
            lambda: (tmp_path / "a").rename(tmp_path / "d"),
            lambda: os.open(tmp_path / "e", os.O_CREAT | os.O_WRONLY),
            lambda: os.system("true"),
            lambda: subprocess.run(["true"], check=False),
            lambda: socket.create_connection(("127.0.0.1", 9)),
            lambda: socket.getaddrinfo("localhost", 9),
        ):
            with pytest.raises(PermissionError, match="expected a checkpoint to be data alone"):
                attempt()

    with checkpoint.sealed():
        with checkpoint.sealed():
            attempts()
        attempts()  # still
        assert (tmp_path / "a").read_text() == "text"
        other = threading.Thread(target=(tmp_path / "other").touch)
        other.start()
        other.join()
    assert {path.name for path in tmp_path.iterdir()} == {"a", "other"}
    (tmp_path / "b").touch()


@pytest.mark.parametrize("seed", range(8))
def test_damaged_files_get_the_usual_refusal(tmp_path: Path, seed: int) -> None:
    """Whatever torch's readers, smp and timm make of them."""
    rng = random.Random(seed)
    path = tmp_path / "a.pt"
    state = trained.read(GOOD)
    small = {key: state[key] for key in ("format", "model_config", "labels", "normalization", "config", "position")}
    small["model"] = dict(list(state["model"].items())[:3])
    torch.save(small, path, _use_new_zipfile_serialization=bool(seed % 2))
    whole = path.read_bytes()
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 3, 20])):
            kind, at = rng.random(), rng.randrange(len(data))
            if kind < 0.6:
                data[at] = rng.randrange(256)
            elif kind < 0.8:
                del data[at : at + rng.randrange(1, 40)]
            else:
                data[at:at] = rng.randbytes(rng.randrange(1, 9))
        path.write_bytes(data)
        with pytest.raises(ValueError, match="checkpoint: expected"):  # never whole: weights are missing
            trained.load(path, "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_edited_fields_get_the_usual_refusal(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    junk = [None, -1, 1.5, "x" * 300, [], {}, [[]], {"a": {}}, torch.zeros(2), {1: 2}, [None] * 3, float("nan"), 2**70]
    path = tmp_path / "a.pt"

    def edited(value: Any) -> Any:
        if isinstance(value, dict) and value and rng.random() < 0.8:
            key = rng.choice(list(value))
            return {**value, key: edited(value[key])}
        if isinstance(value, list) and value and rng.random() < 0.7:
            at = rng.randrange(len(value))
            return [*value[:at], edited(value[at]), *value[at + 1 :]]
        return rng.choice(junk)

    reasons: list[str] = []
    for _ in range(40):
        state = trained.read(GOOD)
        name = rng.choice(["model_config", "labels", "normalization", "config", "model", "format", "position"])
        state[name] = edited(state[name])
        checkpoint.save(path, state)
        try:  # a change may also be harmless
            trained.load(path, "cpu")
        except ValueError as error:
            reasons.append(str(error))
    assert len(reasons) > 20
    assert [reason for reason in reasons if not reason.startswith("checkpoint: expected")] == []


def test_every_command_refuses(tmp_path: Path, data: Path, script: Script) -> None:
    """With exit code 2 and the reason, before anything is written."""
    state = trained.read(GOOD)
    evil = {**state["model_config"], "_target_": "segmentation_models_pytorch.Unet"}
    evil = {key: value for key, value in evil.items() if key not in {"architecture", "encoder_weights"}}
    evil |= {"pretrained_cfg": {"file": str(tmp_path / "x.pth")}, "cache_dir": str(tmp_path / "cache")}
    torch.save({"x": Payload(tmp_path / "marker", "eval")}, tmp_path / "x.pth")
    checkpoint.save(tmp_path / "evil.pt", {**state, "model_config": evil})
    torch.save({**state, "config": Payload(tmp_path / "marker", "system")}, tmp_path / "pickle.pt")
    images, masks = data / "val/images", data / "val/masks"
    for file, reason in (("evil.pt", "got pretrained_cfg="), ("pickle.pt", "expected plain data and tensors")):
        fails(script("seg-predict", checkpoint=file, images=images, destination="out"), 2, reason)
        fails(script("seg-evaluate", checkpoint=file, images=images, masks=masks, destination="out"), 2, "checkpoint: ")
        fails(script("seg-diagnose", checkpoint=file, images=images, destination="out"), 2, reason)
    fails(script("seg-train", *train_options(data), init="pickle.pt"), 2, "expected plain data and tensors")
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"data", "evil.pt", "pickle.pt", "x.pth"}


@pytest.mark.slow
def test_a_users_own_model_is_trusted_on_the_command_line_alone(tmp_path: Path, data: Path, script: Script) -> None:
    (tmp_path / "my_models.py").write_text(
        "from torch import nn\n\n\n"
        "class Tiny(nn.Conv2d):\n"
        "    def __init__(self, classes, width=3):\n"
        "        super().__init__(width, classes, 3, padding=1)\n"
    )
    (tmp_path / "my_conf" / "model").mkdir(parents=True)
    (tmp_path / "my_conf" / "model" / "tiny.yaml").write_text("_target_: my_models.Tiny\nwidth: 3\n")
    (tmp_path / "statistics.py").write_text("raise SystemExit('shadowed')\n")  # must break nothing
    options = train_options(data, model=())
    result = script("seg-train", *options, "model=tiny", "--config-dir", "my_conf", "name=a", "fit.epochs=1")
    assert result.returncode == 0, result.stderr
    request = {"checkpoint": "runs/a/best.pt", "images": data / "val/images", "destination": "out"}
    fails(
        script("seg-predict", **request), 2, r"got 'my_models.Tiny'; if that is a model of your own, .*trust=\[MODULE\]"
    )
    result = script("seg-predict", **request, trust="[my_models]")
    assert result.returncode == 0, result.stderr
    mask = cv2.imread(str(tmp_path / "out" / "s100.png"), cv2.IMREAD_UNCHANGED)
    assert (mask.shape, mask.dtype) == ((64, 96), np.uint8)
    fails(script("seg-predict", **request, trust="my_models"), 2, r"trust: expected a list, got 'my_models'; give")
    fails(script("seg-predict", **request, trust="[my_other]"), 2, "got 'my_models.Tiny'")
    (tmp_path / "my_models.py").unlink()
    fails(script("seg-predict", **request, trust="[my_models]"), 2, "expected 'my_models.Tiny' to be importable")
