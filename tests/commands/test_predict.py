"""python -m pytest tests/commands/test_predict.py"""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import LABELS, Script, Started, fails, train_options
from hydra import compose, initialize_config_dir
from torch import nn

from seg import inference, models
from seg.commands.cli import conf_dir
from seg.commands.evaluate import evaluate
from seg.commands.predict import predict
from seg.data.pairs.images import images_of
from seg.files.errors import Failed
from seg.files.png import PngRows
from seg.images import RGB, read_image
from seg.inference import export, trained
from seg.inference.folder import Summary, predict_folder
from seg.inference.image import predict_image
from seg.inference.outputs import Products
from seg.models import checkpoint

tifffile = pytest.importorskip("tifffile")

OLD = Path(__file__).parents[1] / "golden" / "format1" / "last.pt"
UTM = [
    (33550, 12, 3, (0.5, 0.5, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 400000.0, 5600000.0, 0.0), True),
    (34735, 3, 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633), True),
]
"""Half a metre a pixel in UTM zone 33 north."""

Predict = Callable[..., None]


def composed(name: str, **options: object) -> Any:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose(name, [f"{key}={value}" for key, value in options.items()])


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predict:
    """``seg-predict`` in this process, in a folder with ``last.pt`` and ``images/``."""
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(OLD, "last.pt")
    rng = np.random.default_rng(0)
    for name, size in (("a", (50, 70)), ("in/b", (64, 96))):
        Path("images", name).parent.mkdir(exist_ok=True, parents=True)
        cv2.imwrite(f"images/{name}.png", rng.integers(0, 256, (*size, 3), np.uint8))

    def call(**options: object) -> None:
        given = {"checkpoint": "last.pt", "images": "images", "destination": "out", "device": "cpu"}
        config = composed("predict", **{**given, **options})
        monkeypatch.setenv("SEG_MAX_PIXELS", str(config.max_pixels))  # as the wrapper around commands does
        predict(config)

    return call


def probabilities(path: str) -> np.ndarray:
    """(classes, H, W) of the whole image, float32."""
    model = trained.load(OLD, "cpu")
    pixels = inference.normalized(inference.as_tensor(read_image(path)), model.mean, model.std, "cpu")
    with torch.no_grad():
        return inference.whole_image(model.model, pixels)[0].softmax(0).numpy()


def test_interrupted_it_says_how_far_it_came_and_goes_on(run: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    def second(trained: Any, path: Path, *rest: Any, **options: Any) -> Any:
        if path.name == "b.png":
            raise KeyboardInterrupt
        return predict_image(trained, path, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr("seg.inference.folder.predict_image", second)
        with pytest.raises(KeyboardInterrupt, match=r"^1 of 2 images done; the same command goes on$"):
            run()
    assert [path.name for path in Path("out").rglob("[ab].png") if path.parent.name != "overlays"] == ["a.png"]
    run()
    assert Path("out/in/b.png").exists()


@pytest.mark.slow
def test_the_compiler_stays_away(run: Predict) -> None:
    """Torch's, which takes as long to load as torch itself, from the start to the last mask, and so does training."""
    shape = {
        "architecture": "unet",
        "encoder_name": "resnet18",
        "encoder_depth": 3,
        "decoder_channels": [16, 8, 8],
    }
    config = {"_target_": "seg.models.build", "classes": LABELS.classes, **shape}
    state = {"model": models.build(classes=LABELS.classes, **shape).state_dict(), "objective": {}, "position": {}}
    about = trained.Description(config, LABELS, ((0.5,) * 3, (0.2,) * 3), RGB, {})
    trained.save("small.pt", state, about, resumable=False)
    code = (
        "import sys; from seg.commands.predict import main\n"
        "sys.argv = ['seg-predict', 'checkpoint=small.pt', 'images=images', 'destination=out', 'device=cpu']\n"
        "main(); print(sorted({'torch._dynamo', 'sympy', 'lightning_fabric', 'seg.transforms'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("kind", ["uint8", "float16"])
def test_everything_that_is_written(run: Predict, kind: str) -> None:
    run(colors="true", confidence="true", probabilities=kind)
    model = trained.load(OLD, "cpu")
    for name in ("a", "in/b"):
        expected = probabilities(f"images/{name}.png")
        with np.load(f"out/probabilities/{name}.npz") as found:
            shares = found["probabilities"]
            assert tuple(found["classes"]) == model.labels.names
        assert shares.dtype == np.dtype(kind)
        shares = shares / 255 if kind == "uint8" else shares
        np.testing.assert_allclose(shares, expected, atol=0.0021)
        mask = cv2.imread(f"out/{name}.png", cv2.IMREAD_UNCHANGED)
        assert (mask == expected.argmax(0)).mean() > 0.999
        confidence = cv2.imread(f"out/confidence/{name}.png", cv2.IMREAD_UNCHANGED)
        np.testing.assert_allclose(confidence / 255, expected.max(0), atol=0.0021)
        colors = cv2.imread(f"out/colors/{name}.png")[..., ::-1]
        np.testing.assert_array_equal(colors, np.array(model.labels.palette, np.uint8)[mask])
        assert Path(f"out/overlays/{name}.png").is_file()
    assert not Path("out/geotiff").exists()


def test_what_is_done_is_left_out(run: Predict, caplog: pytest.LogCaptureFixture) -> None:
    def said(**options: object) -> str:
        caplog.clear()
        with caplog.at_level(logging.INFO, "seg"):
            run(**options)
        return caplog.messages[-1]

    assert "2 masks written to out; overlays" in said()
    assert said() == "0 masks written to out, 2 unchanged"
    os.utime("images/a.png", (1, 1))
    assert "1 masks written to out, 1 unchanged" in said()
    Path("out/overlays/in/b.png").unlink()
    assert "1 masks written to out, 1 unchanged" in said()
    Path("out/a.png").write_bytes(b"another")
    assert "1 masks written to out, 1 unchanged" in said()
    assert "2 masks written to out;" in said(overwrite="true")
    assert "2 masks written to out;" in said(inference="tta")
    state = checkpoint.load("last.pt")
    state["model"] = {name: weight.clone() for name, weight in state["model"].items()}
    next(iter(state["model"].values())).add_(1)
    torch.save(state, "last.pt")
    assert "2 masks written to out;" in said(inference="tta")
    assert "0 masks written to out, 2 unchanged" in said(inference="tta")


def test_what_another_model_wrote_does_not_stay_beside_new_masks(
    run: Predict, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "seg")
    run(colors="true", confidence="true", probabilities="uint8")
    run(inference="tta")
    assert not [*Path("out").glob("colors/**/*.png"), *Path("out").glob("confidence/**/*.png")]
    assert not list(Path("out").glob("probabilities/**/*.npz"))
    assert "belong to none" not in caplog.text


def test_masks_that_an_older_version_wrote_are_left_out(run: Predict, caplog: pytest.LogCaptureFixture) -> None:
    """It wrote ``"crc32": -1``, which no file has."""
    run()
    lines = [json.loads(line) for line in Path("out/manifest.jsonl").read_text().splitlines()]
    assert all("crc32" not in line for line in lines)
    assert lines[0]["key"].startswith('{"model": "')
    Path("out/manifest.jsonl").write_text("".join(json.dumps({**line, "crc32": -1}) + "\n" for line in lines))
    with caplog.at_level(logging.INFO, "seg"):
        run()
        assert caplog.messages[-1] == "0 masks written to out, 2 unchanged"
        os.utime("images/a.png", (1, 1))
        run()
        assert "1 masks written to out, 1 unchanged" in caplog.messages[-1]


def test_a_folder_is_predicted_by_the_library(run: Predict) -> None:
    model = trained.load(OLD, "cpu")
    summary = predict_folder(model, "images", "out")
    assert summary == Summary(written=2, unchanged=0, kinds=("overlays", "mask"), failures=())
    assert predict_folder(model, "images", "out").written == 2  # nothing says that the model is the same
    for made_by, written in (({"model": 1}, 2), ({"model": 1}, 0), ({"model": 2}, 2)):
        assert predict_folder(model, "images", "out", made_by=made_by).written == written
    Path("images/a.png").write_bytes(b"no image")
    summary = predict_folder(model, "images", "out", Products(overlays=False), made_by={"model": 2})
    assert (summary.written, summary.images, summary.kinds) == (1, 2, ("mask",))
    assert "images/a.png" in summary.failures[0]
    with pytest.raises(ValueError, match="boxes: expected a checkpoint that was trained with task=boxes, got '.*last"):
        predict_folder(model, "images", "out", Products(boxes=True))
    with pytest.raises(ValueError, match="colors: expected true or false, got 1"):
        Products(colors=1)


def test_a_failed_image_is_tried_again_and_leaves_no_older_mask(run: Predict) -> None:
    run()
    shutil.copyfile("images/a.png", "good.png")
    Path("images/a.png").write_bytes(b"no image")
    for _ in range(2):
        with pytest.raises(Failed, match="1 of 2 images failed: image 'images/a.png': expected one of"):
            run()
    assert not Path("out/a.png").exists()
    assert not Path("out/overlays/a.png").exists()
    shutil.copyfile("good.png", "images/a.png")
    run()
    assert Path("out/a.png").exists()


def test_files_of_others_are_not_replaced(run: Predict, tmp_path: Path) -> None:
    """Masks painted by hand, those of a conversion; what an ended call left is ours."""
    (tmp_path / "hand").mkdir()
    run(destination="out")
    name = next(path.name for path in sorted((tmp_path / "out").glob("*.png")))
    (tmp_path / "hand" / name).write_bytes(b"painted")
    with pytest.raises(ValueError, match=rf"got 'hand/{name}', which no prediction wrote .*; give .* overwrite=true"):
        run(destination="hand")
    assert [path.name for path in (tmp_path / "hand").glob("*.png")] == [name]
    assert (tmp_path / "hand" / name).read_bytes() == b"painted"
    run(destination="hand", overwrite=True)
    assert (tmp_path / "hand" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    (tmp_path / "out" / "manifest.jsonl").unlink()
    with pytest.raises(ValueError, match="which no prediction wrote"):
        run(destination="out")
    (tmp_path / "converted").mkdir()
    (tmp_path / "converted" / "source.json").write_text("{}")
    (tmp_path / "converted" / "labels.yaml").write_text("classes: [a, b]")
    with pytest.raises(ValueError, match="got 'converted/labels.yaml', which no prediction wrote"):
        run(destination="converted")


def test_a_killed_run_goes_on(run: Predict, start: Callable[..., Started], caplog: pytest.LogCaptureFixture) -> None:
    for number in range(60):
        shutil.copyfile("images/a.png", f"images/n{number:03}.png")
    process = start("seg-predict", "checkpoint=last.pt", "images=images", "destination=out", "device=cpu")
    process.until(lambda: len(list(Path("out").glob("n*.png"))) >= 3)
    process.kill()
    done = Path("out/manifest.jsonl").read_text().count('"converted"')
    assert 0 < done < 62
    with caplog.at_level(logging.INFO, "seg"):
        run()
    assert f"{62 - done} masks written to out, {done} unchanged" in caplog.text
    masks = [path.read_bytes() for path in Path("out").glob("n*.png")]
    assert len(masks) == 60
    assert set(masks) == {Path("out/a.png").read_bytes()}
    assert not list(Path("out").glob(".seg-*"))


def scene(path: Path, height: int = 300, width: int = 200, bands: int = 3, geo: bool = True) -> None:
    small = np.random.default_rng(0).integers(0, 256, (height // 10, width // 10, bands), np.uint8)
    pixels = cv2.resize(small, (width, height)).reshape(height, width, bands)
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(64, 64), extratags=UTM if geo else [], metadata=None)


@pytest.mark.parametrize("how", ["sliding", "sliding_tta"])
def test_windows_of_a_file_are_those_of_the_image(run: Predict, how: str) -> None:
    scene(Path("scenes/a.tif"))
    key = "inference" if how == "sliding" else "inference.sliding"
    options = {"images": "scenes", "inference": how, f"{key}.window": 64, "colors": "true", "confidence": "true"}
    run(destination="whole", **options)
    run(destination="rows", **options, max_pixels=1000)
    for file in ("a.png", "colors/a.png", "confidence/a.png"):
        whole, rows = (cv2.imread(f"{out}/{file}", cv2.IMREAD_UNCHANGED) for out in ("whole", "rows"))
        np.testing.assert_array_equal(rows, whole)
    assert Path("whole/overlays/a.png").exists()
    assert not Path("rows/overlays").exists()


def test_coordinates_are_carried_over(run: Predict) -> None:
    scene(Path("scenes/a.tif"), 530, 1030)
    scene(Path("scenes/b.tif"), geo=False)
    run(images="scenes", inference="sliding")
    with tifffile.TiffFile("out/geotiff/a.tif") as file:
        page = file.pages[0]
        assert page.is_tiled
        for code, _, _, value, _ in UTM:
            assert page.tags[code].value == value
        mask = page.asarray()
    np.testing.assert_array_equal(mask, cv2.imread("out/a.png", cv2.IMREAD_UNCHANGED))
    assert not Path("out/geotiff/b.tif").exists()
    run(images="scenes", destination="without", geotiff="false", overlays="false")
    assert not Path("without/geotiff").exists()
    run(images="scenes", inference="sliding")
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open("scenes/a.tif") as image, rasterio.open("out/geotiff/a.tif") as found:
        assert (found.crs, found.transform) == (image.crs, image.transform)


def test_what_is_too_large(run: Predict) -> None:
    scene(Path("scenes/a.tif"))
    with pytest.raises(
        Failed, match=r"at most 1000 pixels .* raise max_pixels, or, if .* TIFF file, give inference=sliding"
    ):
        run(images="scenes", max_pixels=1000)
    with pytest.raises(
        Failed, match=r"expected at most max_pixels for probabilities, got 300x200 pixels; leave them out"
    ):
        run(images="scenes", max_pixels=1000, inference="sliding", probabilities="uint8")


def test_files_that_opencv_does_not_decode_are_read_by_rows(run: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of 2 GiB and more, whatever max_pixels allows; here of some kilobytes."""
    scene(Path("scenes/a.tif"))
    options = {"images": "scenes", "inference": "sliding", "inference.window": 64}
    run(destination="whole", **options)
    for module in ("seg.inference.image", "seg.images.decoding"):
        monkeypatch.setattr(f"{module}.MOST_BYTES", 1000)
    run(destination="rows", **options)
    whole, rows = (cv2.imread(f"{out}/a.png", cv2.IMREAD_UNCHANGED) for out in ("whole", "rows"))
    np.testing.assert_array_equal(rows, whole)
    assert not Path("rows/overlays").exists()
    with pytest.raises(Failed, match=r"expected a file of at most 1000 bytes, which OpenCV decodes, got \d+; cut it"):
        run(images="scenes", destination="no")


FLAT = """
import resource, sys
from pathlib import Path
from hydra import compose, initialize_config_dir
from seg.commands.cli import conf_dir
from seg.commands.predict import predict
import os
os.environ["SEG_MAX_PIXELS"] = "1000"
peaks = []
for name in ("low", "high"):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        options = ["checkpoint=tiny.pt2", f"images={name}.tif", f"destination={name}", "device=cpu"]
        predict(compose("predict", [*options, "inference=sliding", "inference.window=64", "inference.overlap=0"]))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
unit = 1 if sys.platform == "darwin" else 1024
print((peaks[1] - peaks[0]) * unit)
"""


def test_memory_does_not_grow_with_the_image(run: Predict, tmp_path: Path) -> None:
    """40 times as many rows: their logits alone would take 420 MB."""
    model, labels = nn.Conv2d(3, 10, 1).eval(), trained.load(OLD, "cpu").describe()
    export.write("tiny.pt2", model, 3, labels)
    for name, height in (("low", 512), ("high", 20480)):
        scene(Path(f"{name}.tif"), height, 512)
    done = subprocess.run([sys.executable, "-c", FLAT], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 60e6
    assert cv2.imread("high/high.png", cv2.IMREAD_UNCHANGED).shape == (20480, 512)


def test_png_rows(tmp_path: Path) -> None:
    for channels in (1, 3):
        pixels = np.random.default_rng(0).integers(0, 256, (37, 21, channels), np.uint8)
        with (tmp_path / "a.png").open("wb") as file:
            png = PngRows(file, 37, 21, channels)
            for first, last in ((0, 1), (1, 20), (20, 37)):
                png.write(pixels[first:last] if channels == 3 else pixels[first:last, :, 0])
            png.close()
        found = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED).reshape(37, 21, channels)
        np.testing.assert_array_equal(found[..., ::-1], pixels)


def test_images_are_a_folder_a_list_or_a_file(run: Predict, tmp_path: Path) -> None:
    both = {"a": Path("images/a.png"), "in/b": Path("images/in/b.png")}
    assert images_of(Path("images"), "{}") == both
    assert images_of(Path("images/a.png"), "{}") == {"a": Path("images/a.png")}
    Path("images/list.txt").write_text("# two\n a.png\n\nin/b.png\r\na.png\n", encoding="utf-8-sig")
    assert images_of(Path("images/list.txt"), "{}") == both
    Path("list.txt").write_text(f"{tmp_path}/images/in/b.png\n./images/a.png")
    assert images_of(Path("list.txt"), "{}") == {"b": tmp_path / "images/in/b.png", "images/a": Path("images/a.png")}
    run(images="list.txt")
    assert Path("out/images/a.png").exists()
    run(images="images/a.png", destination="one")
    assert Path("one/a.png").exists()


@pytest.mark.parametrize(
    ("text", "template", "message"),
    [
        (
            "images/c.png",
            "{}",
            "list.txt, line 1: expected an image, got 'images/c.png'; give it absolute, or relative",
        ),
        ("\n# a", "{}", "images: expected images in the list 'list.txt', one a line, got none; add them"),
        ("images/a.png\n{0}/images/a.png\n{0}/a.png", "{}", "line 3: expected one image called 'a', got"),
        ("images/a.png", "{}_x", "image_template: expected {} with a file as images, got '{}_x'; leave it out"),
    ],
)
def test_wrong_lists(run: Predict, tmp_path: Path, text: str, template: str, message: str) -> None:
    shutil.copyfile("images/a.png", "a.png")
    Path("list.txt").write_text(text.replace("{0}", str(tmp_path)))
    with pytest.raises(ValueError, match=message):
        images_of(Path("list.txt"), template)


def test_an_image_is_not_overwritten(run: Predict, tmp_path: Path) -> None:
    before = Path("images/a.png").read_bytes()
    for options in (
        {"images": "images/a.png", "destination": "images"},
        {"images": "images", "destination": "images/out"},
        {"images": "list.txt", "destination": "images"},
    ):
        Path("list.txt").write_text(str(tmp_path / "images/a.png"))
        with pytest.raises(ValueError, match="destination: expected a folder"):
            run(**options)
    assert Path("images/a.png").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probabilities": "float32"}, "probabilities: expected uint8, float16 or null, got 'float32'"),
        ({"colors": "yes_please"}, "colors: expected true or false, got 'yes_please'"),
        ({"inference": "sliding", "inference.overlap": 512}, "overlap: expected pixels below the window of 512"),
        ({"inference": "sliding", "inference.window": 16}, "window: expected a whole number of at least 32"),
        ({"inference": "tta", "inference.scales": "[0]"}, "scales: expected numbers above 0"),
        ({"inference": "sliding_tta", "inference.tta.rotations": "[30]"}, "rotations: expected some of 0, 90"),
        ({"inference": "sliding_tta", "inference.sliding.window": "8"}, "window: expected a whole number"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_read(run: Predict, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(**options, checkpoint="missing.pt")
    if "inference" in options:
        given = {"checkpoint": "missing.pt", "images": "images", "masks": "images", "destination": "out"}
        with pytest.raises(ValueError, match=message):
            evaluate(composed("evaluate", **given, **options))


def test_exported_files_predict(run: Predict, capsys: pytest.CaptureFixture[str]) -> None:
    model = trained.load(OLD, "cpu")
    export.write("a.pt2", model.model, 3, model.describe())
    export.write("mask.pt2", model.model, 3, model.describe(), argmax=True)
    run(destination="by_checkpoint")
    for name in ("a", "mask"):
        run(checkpoint=f"{name}.pt2", destination=name)
        for image in ("a", "in/b"):
            one, other = (cv2.imread(f"{out}/{image}.png", -1) for out in ("by_checkpoint", name))
            assert (one == other).mean() > 0.999
    with pytest.raises(ValueError, match=r"confidence: expected a model that gives logits, got 'mask.pt2', which was"):
        run(checkpoint="mask.pt2", confidence="true")
    assert json.loads(Path("a/manifest.jsonl").read_text().splitlines()[-1])["status"] == "converted"


def test_training_refuses_windows_that_cannot_work(data: Path, script: Script) -> None:
    result = script("seg-train", *train_options(data), "inference=sliding", "inference.overlap=512", "name=a")
    fails(result, 2, "overlap: expected pixels below the window of 512, or a share")


def test_logits_that_are_not_finite(run: Predict, tmp_path: Path, script: Script) -> None:
    """A mask of the first class would be plausible: the image fails by name, here and in an evaluation."""
    state = torch.load("last.pt", weights_only=True)
    weights = [key for key, value in state["model"].items() if key.endswith("segmentation_head.0.weight")]
    state["model"][weights[0]][0, 0] = float("nan")
    torch.save(state, "nan.pt")
    with pytest.raises(Failed, match=r"2 of 2 images failed: image 'images/a.png': expected finite logits, got NaN or"):
        run(checkpoint="nan.pt")
    assert not list(Path("out").rglob("*.png"))
    for name in ("a", "in/b"):
        Path("masks", name).parent.mkdir(exist_ok=True, parents=True)
        height, width = cv2.imread(f"images/{name}.png").shape[:2]
        cv2.imwrite(f"masks/{name}.png", np.zeros((height, width), np.uint8))
    words = ["checkpoint=nan.pt", "images=images", "masks=masks", "destination=judged", "device=cpu"]
    fails(script("seg-evaluate", *words), 1, "image 'a': expected finite logits, got NaN or infinity in 3,500 of 3,500")
    state = torch.load("last.pt", weights_only=True)
    state["normalization"]["std"] = [0.0, 0.2, 0.2]
    torch.save(state, "std.pt")
    with pytest.raises(ValueError, match="normalization"):
        run(checkpoint="std.pt")


def test_pages_that_nobody_sees_are_said(run: Predict, caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 50, 70, 3), np.uint8)
    for name in ("p", "q"):
        tifffile.imwrite(f"images/{name}.tif", pixels, photometric="rgb")
    run()
    said = "2 images have several pages, of which the first alone is read, such as 'images/p.tif'; save each page as"
    assert [record.message for record in caplog.records if said in record.message]
    caplog.clear()
    Path("images/p.tif").unlink()
    tifffile.imwrite("images/q.tif", pixels[0], photometric="rgb")
    run(destination="again")
    assert not [record for record in caplog.records if "pages" in record.message]
