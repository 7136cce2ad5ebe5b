"""Bands, ranges of values and orientations, through the command line and by hand.

python -m pytest tests/images/test_pixels.py
"""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch
from conftest import LABELS, Script, fails, scene, train_options
from numpy.typing import NDArray
from PIL import Image

from seg.images import Reading, read_image, read_values
from seg.images.headers import orientation_of, read_tiff
from seg.images.oddities import percentiles, value_facts
from seg.inference import trained
from seg.models import checkpoint
from seg.transforms import (
    Affine,
    Blur,
    ClassMix,
    ColorJitter,
    Compose,
    CutMix,
    Cutout,
    Elastic,
    Flip,
    GridMask,
    Illumination,
    Mosaic,
    Noise,
    Pad,
    RandomErasing,
    ScaleCrop,
)

CONTIG = {"photometric": "minisblack", "planarconfig": "contig"}


def write_set(folder: Path, make: "object", suffix: str, count: int = 6, size: tuple[int, int] = (64, 96)) -> Path:
    """train/ and val/ like the fixture `data`; ``make(path, gray level of each pixel, rng)`` writes one."""
    for part, first, number in (("train", 0, count), ("val", 100, 2)):
        (folder / part / "images").mkdir(parents=True)
        (folder / part / "masks").mkdir()
        for seed in range(first, first + number):
            mask = scene(seed, *size)[1]
            rng = np.random.default_rng(seed)
            levels = np.array([0.1, 0.5, 0.9])[np.where(mask == 255, 0, mask)] + rng.normal(0, 0.02, mask.shape)
            make(folder / part / "images" / f"s{seed}{suffix}", levels.clip(0, 1), rng)
            cv2.imwrite(str(folder / part / "masks" / f"s{seed}.png"), mask)
        LABELS.save(folder / part / "masks" / "labels.yaml")
    return folder


def write_12_bits(path: Path, levels: NDArray[np.float64], _: object) -> None:
    cv2.imwrite(str(path), (levels * 4095).astype(np.uint16))


def write_narrow(path: Path, levels: NDArray[np.float64], _: object) -> None:
    """Values of 1075..1285, and one hot pixel, which is not the range in use."""
    values = (1075 + levels * 210).astype(np.uint16)
    values[5, 5] = 65535
    cv2.imwrite(str(path), values)


def write_bands(path: Path, levels: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Five bands of 16 bits; the classes show in the last alone."""
    noise = rng.integers(0, 65536, (*levels.shape, 4))
    bands = np.dstack([noise, levels * 65535]).astype(np.uint16)
    tifffile.imwrite(path, bands, **CONTIG, compression="lzw")


def audit_options(data: Path) -> list[str]:
    return [o for o in train_options(data) if o.startswith("data.")]


def findings(folder: Path) -> dict[str, str]:
    return {
        f["check"]: f"{f['text']}; {f['advice']}" for f in json.loads((folder / "audit.json").read_text())["findings"]
    }


@pytest.mark.parametrize(
    ("make", "share", "ends"),
    [(write_12_bits, r"\d(\.\d)? %", r"\[\d+,[34]\d{3}\]"), (write_narrow, r"0\.2\d %", r"\[10[89]\d,12[67]\d\]")],
)
def test_few_levels_are_said(tmp_path: Path, script: Script, make: object, share: str, ends: str) -> None:
    data = write_set(tmp_path / "data", make, ".png")
    result = script("seg-audit", *audit_options(data), destination="audit")
    assert result.returncode == 0, result.stderr
    wanted = (
        rf"16 bit use {share} of 0..65535, \d+ of 256 gray levels.*; give data.range={ends} .*data.range=percentiles"
    )

    assert re.search(wanted, findings(tmp_path / "audit")["few-levels"])
    result = script("seg-train", *train_options(data), "fit.epochs=1", name="a")
    assert result.returncode == 0, result.stderr
    assert re.search(rf"warning: training: the values of 6 images of {wanted}", result.stderr)
    assert re.search("warning: validation: the values of 2 images of 16 bit", result.stderr)


@pytest.mark.slow
def test_a_range_travels_from_training_to_all_others(tmp_path: Path, script: Script) -> None:
    data = write_set(tmp_path / "data", write_narrow, ".png")
    options = [*train_options(data), "fit.epochs=6", "data.range=percentiles", "name=a", "device.precision=32-true"]
    result = script("seg-train", *options)
    assert result.returncode == 0, result.stderr
    assert "few" not in result.stderr
    assert "gray levels" not in result.stderr
    images = sorted((data / "train/images").iterdir())
    values = np.concatenate([cv2.imread(str(path), cv2.IMREAD_UNCHANGED).ravel() for path in images])
    ends = np.percentile(values.astype(float), (0.5, 99.5)).tolist()
    best = tmp_path / "runs/a/best.pt"
    assert checkpoint.load(best)["reading"] == {"bands": None, "range": [ends] * 3, "exif": True}
    assert f"data.range=percentiles: [[{ends[0]:g},{ends[1]:g}]," in result.stdout

    folders = {"images": data / "val/images", "masks": data / "val/masks"}
    result = script("seg-evaluate", checkpoint=best, **folders, destination="evaluation", json="true")
    assert result.returncode == 0, result.stderr
    scores = json.loads(result.stdout)
    done = json.loads((tmp_path / "runs/a/done.json").read_text())
    assert scores["miou"] == pytest.approx(done["best_miou"], abs=1e-9)
    result = script("seg-predict", checkpoint=best, images=data / "val/images", destination="predicted")
    assert result.returncode == 0, result.stderr
    model = trained.load(best, "cpu")
    for seed in (100, 101):
        path = data / f"val/images/s{seed}.png"
        mask = cv2.imread(str(tmp_path / f"predicted/s{seed}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(model.predict(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)), mask)
        np.testing.assert_array_equal(model.predict_read(model.read(path)), mask)
    overlay = cv2.imread(str(tmp_path / "predicted/overlays/s100.png"))
    assert overlay[:64, :96].std() > 40  # stretched, where the file's 16 bits would look black
    result = script("seg-diagnose", checkpoint=best, images=data / "train/images", destination="diagnosis")
    assert result.returncode == 0, result.stderr

    result = script("seg-audit", *audit_options(data), "data.range=percentiles", destination="audit")
    assert "few-levels" not in findings(tmp_path / "audit")

    (tmp_path / "runs/a/done.json").unlink()  # goes on with what was kept
    write_12_bits(images[0], np.zeros((64, 96)), None)
    result = script("seg-train", *options, "runs=runs")
    assert "data.range=percentiles: " not in result.stdout


@pytest.mark.slow
def test_a_range_that_cuts_off_or_is_too_wide(tmp_path: Path, script: Script) -> None:
    data = write_set(tmp_path / "data", write_12_bits, ".png")
    result = script("seg-train", *train_options(data), "fit.epochs=1", "data.range=[0,300]", name="a")
    assert result.returncode == 0, result.stderr
    cut = r"of 16 bit lie outside data.range=\[0,300\] and are cut off, such as '.*'; correct it"
    assert re.search(f"warning: training: .* {cut}", result.stderr)
    script("seg-audit", *audit_options(data), "data.range=[0,30000]", destination="audit")
    assert "of data.range=[0,30000]" in findings(tmp_path / "audit")["few-levels"]
    result = script("seg-train", *train_options(data), "fit.epochs=1", "data.range=[0,4095]", name="b")
    assert "warning" not in result.stderr
    result = script("seg-train", *train_options(data), "fit.epochs=1", "data.range=[0,4000]", name="b")
    fails(result, 2, r"another configuration \(data.range: \[0, 4095\] -> \[0, 4000\]\)")


def test_five_bands(tmp_path: Path, script: Script) -> None:
    data = write_set(tmp_path / "data", write_bands, ".tif")
    several = "image '.*s0.tif': expected 1, 3 or 4 bands, got 5; choose some for training with data.bands"
    fails(script("seg-train", *train_options(data), name="a"), 2, several)
    assert script("seg-audit", *audit_options(data), destination="audit").returncode == 1
    assert "unreadable-image" in findings(tmp_path / "audit")
    too_many = script("seg-train", *train_options(data), "data.bands=[5]", name="a")
    fails(too_many, 2, r"s0.tif': expected at least 6 bands for data.bands=\[5\], got 5; choose other")

    for bands in ("[4]", "[4,0]"):
        name = f"run{len(bands)}"
        options = [*train_options(data), f"data.bands={bands}", "fit.epochs=6", "augment=strong", f"name={name}"]
        options.append("device.precision=32-true")
        result = script("seg-train", *options)
        assert result.returncode == 0, result.stderr
        state = checkpoint.load(tmp_path / f"runs/{name}/best.pt")
        channels = len(json.loads(bands))
        assert (state["model_config"]["in_channels"], state["reading"]["bands"]) == (channels, json.loads(bands))
        raw = [read_image(p, Reading(tuple(json.loads(bands)))) for p in sorted((data / "train/images").iterdir())]
        pixels = np.concatenate([image.reshape(-1, channels) for image in raw]) / 255
        np.testing.assert_allclose(state["normalization"]["mean"], pixels.mean(0), atol=1e-6)
        np.testing.assert_allclose(state["normalization"]["std"], pixels.std(0), atol=1e-6)
        best = tmp_path / f"runs/{name}/best.pt"
        result = script(
            "seg-evaluate",
            checkpoint=best,
            images=data / "val/images",
            masks=data / "val/masks",
            destination=f"evaluation{name}",
            json="true",
        )
        assert result.returncode == 0, result.stderr
        done = json.loads((tmp_path / f"runs/{name}/done.json").read_text())
        assert json.loads(result.stdout)["miou"] == pytest.approx(done["best_miou"], abs=1e-9)
        result = script("seg-predict", checkpoint=best, images=data / "val/images", destination=f"masks{name}")
        assert result.returncode == 0, result.stderr
        result = script("seg-diagnose", checkpoint=best, images=data / "train/images", destination=f"shift{name}")
        assert result.returncode == 0, result.stderr
    picture = cv2.imread(str(tmp_path / "runs/run3/pictures/s100.png"))[:64, :96]
    np.testing.assert_array_equal(picture[..., 0], picture[..., 2])  # one band is shown as gray
    assert script("seg-audit", *audit_options(data), "data.bands=[4,0]", destination="audit").returncode == 0
    result = script(
        "seg-train",
        *train_options(data),
        "fit.epochs=1",
        "data.bands=[0,4]",
        f"init={tmp_path}/runs/run5/best.pt",
        name="b",
    )
    assert result.returncode == 0, result.stderr
    assert "init: the images of " in result.stderr
    assert "bands=[4,0] range=null exif=apply, those of this run with bands=[0,4]" in result.stderr


@pytest.mark.slow
def test_pretrained_stems_take_other_bands(tmp_path: Path, script: Script) -> None:
    """Any encoder that smp adapts; the model follows from the bands."""
    data = write_set(tmp_path / "data", write_bands, ".tif")
    options = train_options(data, model=())
    unfetched = ["model=unet", "model.encoder_name=mit_b0", "model.encoder_weights=null"]
    result = script("seg-train", *options, *unfetched, "data.bands=[4,0]", "fit.epochs=1", name="a")
    assert result.returncode == 0, result.stderr
    assert checkpoint.load(tmp_path / "runs/a/best.pt")["model_config"]["in_channels"] == 2
    result = script("seg-train", *train_options(data), "+model.in_channels=4", name="a")
    fails(result, 2, r"model.in_channels: expected none, because it follows from data.bands \(3 channels\), got 4")


@pytest.mark.slow
def test_bands_that_are_left_out_are_said(tmp_path: Path, script: Script) -> None:
    def rgbn(path: Path, levels: NDArray[np.float64], _: object) -> None:
        tifffile.imwrite(path, np.dstack([levels * 255] * 4).astype(np.uint8), photometric="rgb")

    data = write_set(tmp_path / "data", rgbn, ".tif")
    result = script("seg-train", *train_options(data), "fit.epochs=1", name="a")
    assert result.returncode == 0, result.stderr
    assert "warning: training: images with bands or pages that are left out: 6 of 6, up to 1 of them" in result.stderr
    script("seg-audit", *audit_options(data), destination="audit")
    assert "choose the bands with data.bands" in findings(tmp_path / "audit")["dropped-bands"]
    result = script("seg-train", *train_options(data), "fit.epochs=1", "data.bands=[0,1,2]", name="b")
    assert result.returncode == 0, result.stderr
    assert "left out" not in result.stderr
    states = [checkpoint.load(tmp_path / f"runs/{name}/best.pt") for name in "ab"]
    for key, tensor in states[0]["model"].items():
        assert torch.equal(tensor, states[1]["model"][key]), key


def test_without_the_extra(tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_set(tmp_path / "data", write_bands, ".tif")
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/tifffile.py").write_text("raise ImportError\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hidden"))
    result = script("seg-train", *train_options(data), "data.bands=[4]", name="a")
    fails(result, 2, r"got 5 a page on 1, stored as OpenCV cannot read them; pip install 'seg-toolkit\[tiff\]'")


@pytest.mark.slow
def test_numbers_that_have_no_gray_level(tmp_path: Path, script: Script) -> None:
    def heights(path: Path, levels: NDArray[np.float64], _: object) -> None:
        cv2.imwrite(str(path), (levels * 700 - 50).astype(np.float32))

    data = write_set(tmp_path / "data", heights, ".tif")
    fails(
        script("seg-train", *train_options(data), name="a"),
        2,
        r"s0.tif': expected 8 or 16 bits a channel, got float32; say .* data.range=\[low,high\]",
    )
    result = script("seg-train", *train_options(data), "data.range=[-50,650]", "fit.epochs=1", name="a")
    assert result.returncode == 0, result.stderr
    assert "warning" not in result.stderr
    broken = np.full((64, 96), 100, np.float32)
    broken[60, 3] = np.nan
    cv2.imwrite(str(data / "train/images/s1.tif"), broken)
    for limits in ("[-50,650]", "percentiles"):
        result = script("seg-train", *train_options(data), f"data.range={limits}", name="b")
        fails(result, 2, "s1.tif': expected finite values, got NaN or infinity in 1 of 6,144 pixels")
    result = script("seg-audit", *audit_options(data), "data.range=[-50,650]", destination="audit")
    assert result.returncode == 1
    assert "unreadable-image" in findings(tmp_path / "audit")


@pytest.mark.slow
def test_orientations_that_the_size_does_not_show(tmp_path: Path, script: Script) -> None:
    def upside_down(path: Path, levels: NDArray[np.float64], _: object) -> None:
        exif = Image.Exif()
        exif[0x0112] = 3
        Image.fromarray((levels * 255).astype(np.uint8)).save(path, exif=exif, quality=95)

    data = write_set(tmp_path / "data", upside_down, ".jpg")
    assert script("seg-audit", *audit_options(data), destination="audit").returncode == 0
    assert "give data.exif=ignore" in findings(tmp_path / "audit")["hidden-orientation"]
    result = script("seg-train", *train_options(data), "fit.epochs=1", name="a")
    assert "images that EXIF turns or mirrors, though their size does not show it: 6 of 6" in result.stderr
    result = script("seg-train", *train_options(data), "fit.epochs=6", "data.exif=ignore", name="b")
    assert result.returncode == 0, result.stderr
    assert "EXIF" not in result.stderr
    assert script("seg-audit", *audit_options(data), "data.exif=ignore", destination="other").returncode == 0
    assert "hidden-orientation" not in findings(tmp_path / "other")
    model = trained.load(tmp_path / "runs/b/best.pt", "cpu")
    stored = np.asarray(Image.open(data / "val/images/s100.jpg"))
    assert np.abs(model.read(data / "val/images/s100.jpg")[..., 0].astype(int) - stored).mean() < 3


@pytest.mark.slow
def test_an_orientation_of_a_quarter_turn_names_the_option(tmp_path: Path, script: Script) -> None:
    def on_its_side(path: Path, levels: NDArray[np.float64], _: object) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray((levels * 255).astype(np.uint8)).save(path, exif=exif)

    data = write_set(tmp_path / "data", on_its_side, ".png")
    fails(
        script("seg-train", *train_options(data), name="a"), 2, "got 96x64; give data.exif=ignore, because EXIF turns"
    )
    result = script("seg-train", *train_options(data), "data.exif=ignore", "fit.epochs=1", name="a")
    assert result.returncode == 0, result.stderr
    best = tmp_path / "runs/a/best.pt"
    assert script("seg-predict", checkpoint=best, images=data / "val/images", destination="p").returncode == 0
    assert cv2.imread(str(tmp_path / "p/s100.png"), cv2.IMREAD_UNCHANGED).shape == (64, 96)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("data.bands=[]", r"data.bands: expected numbers of bands, counted from 0, got \[\]"),
        ("data.bands=[-1]", r"data.bands: expected numbers of bands, counted from 0, got \[-1\]"),
        ("data.bands=red", "data.bands: expected numbers of bands, counted from 0, got red"),
        ("data.range=[5,5]", r"data.range: expected \[low,high\] .* got \[\[5,5\]\]; give such as"),
        ("data.range=[[0,1],[0,2]]", "data.range: .*one such pair for each of 3 bands"),
        ("data.range=minmax", "data.range: expected .*, or percentiles, got minmax"),
        ("data.exif=no", "data.exif: expected apply or ignore, got "),
        ("+augment.cut={_target_:seg.transforms.Cutout,size:8,fill:[0,0]}", "augment: fill: expected 1 number or 3"),
    ],
)
def test_wrong_options_are_refused_before_the_data_are_read(script: Script, option: str, message: str) -> None:
    nowhere = ["data.train.images=nowhere", "data.train.masks=nowhere"]
    fails(script("seg-train", *nowhere, "model=unet_small", option), 2, message)
    if option.startswith("data"):
        result = script("seg-audit", "images=nowhere", "masks=nowhere", "destination=a", option)
        assert result.returncode == 2


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 13])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_transforms_take_any_number_of_channels(channels: int, kind: torch.dtype) -> None:
    image = torch.rand(40, 52, channels).permute(2, 0, 1)
    image = image if kind == torch.float32 else image.mul(255).to(kind)
    mask = torch.randint(3, (40, 52), dtype=torch.uint8)
    every = Compose(
        mosaic=Mosaic(p=1),
        flip=Flip(p=1),
        affine=Affine(degrees=10, p=1),
        elastic=Elastic(p=1),
        down=ScaleCrop(size=(32, 32), scale=(0.5, 0.6)),
        up=ScaleCrop(size=(64, 64), scale=(1.5, 1.6)),
        color=ColorJitter(hue=0.1),
        light=Illumination(p=1),
        blur=Blur(p=1),
        noise=Noise(p=1),
        cutmix=CutMix(p=1),
        classmix=ClassMix(p=1),
        cutout=Cutout(8, fill=[0.5] * channels),
        grid=GridMask(8, 12, 0.5),
        erase=RandomErasing(fill=None, p=1),
        pad=Pad(),
    )
    every.set_source(lambda _: (image, mask), 1)
    every.check_channels(channels)
    found, _ = every(image, mask)
    assert (found.shape, found.dtype) == ((channels, 64, 64), kind)
    with pytest.raises(ValueError, match=f"fill: expected 1 number or {channels}, one for each channel, got 7"):
        Compose(inner=Compose(cutout=Cutout(8, fill=[0.5] * 7))).check_channels(channels)


BANDS = np.random.default_rng(0).integers(0, 200, (20, 30, 6)).astype(np.uint8)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("photometric", ["minisblack", "rgb"])
@pytest.mark.parametrize("compression", [None, "deflate", "lzw"])
@pytest.mark.parametrize("count", [3, 4, 5])
def test_bands_of_tiff(
    tmp_path: Path, kind: type, planar: str, photometric: str, compression: str | None, count: int
) -> None:
    bands = BANDS[..., :count].astype(kind) * (257 if kind == np.uint16 else 1)
    stored = bands if planar == "contig" else np.ascontiguousarray(bands.transpose(2, 0, 1))
    options = {"extrasamples": ["unspecified"] * (count - 3)} if photometric == "rgb" and count > 3 else {}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric=photometric, planarconfig=planar, compression=compression, **options)
    if count < 5:
        np.testing.assert_array_equal(read_image(path), BANDS[..., :3])
        assert value_facts(read_values(path), Reading()).dropped == count - 3
    for chosen in ((0,), (2, 1, 0), tuple(range(count))[::-1]):
        np.testing.assert_array_equal(read_image(path, Reading(chosen)), BANDS[..., list(chosen)])
        assert value_facts(read_values(path, Reading(chosen)), Reading(chosen)).dropped == 0


def test_other_tiff(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    clear = BANDS[..., :4].copy()
    tifffile.imwrite(path, clear, photometric="rgb", extrasamples=["unassalpha"])  # libtiff would multiply by alpha
    np.testing.assert_array_equal(read_image(path), BANDS[..., :3])
    assert value_facts(read_values(path), Reading()).dropped == 1  # near infrared, as likely as alpha
    for kind in (np.uint8, np.uint16):
        for fourth, dropped in ((np.iinfo(kind).max, 0), (7, 1)):
            pixels = np.dstack([BANDS[..., :3].astype(kind), np.full(BANDS.shape[:2], fourth, kind)])
            tifffile.imwrite(path, pixels, photometric="rgb")
            values = read_values(path)
            np.testing.assert_array_equal(values.pixels, pixels[..., :3])
            assert value_facts(values, Reading()).dropped == dropped
    tifffile.imwrite(path, BANDS[..., :2], **CONTIG, extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_image(path), np.dstack([BANDS[..., 0]] * 3))
    tifffile.imwrite(path, BANDS[..., :3].transpose(2, 0, 1), photometric="minisblack")  # three pages
    np.testing.assert_array_equal(read_image(path), np.dstack([BANDS[..., 0]] * 3))
    assert value_facts(read_values(path), Reading()).dropped == 2
    np.testing.assert_array_equal(read_image(path, Reading((2, 0))), BANDS[..., [2, 0]])
    wide = BANDS[..., 0].astype(np.uint16) * 257
    tifffile.imwrite(path, 65535 - wide, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(path)[..., 0], BANDS[..., 0])
    for kind in (np.int8, np.int16, np.int32, np.uint32, np.float16, np.float32, np.float64):
        tifffile.imwrite(path, (BANDS[..., 0] // 2).astype(kind), photometric="minisblack")
        with pytest.raises(ValueError, match="expected 8 or 16 bits a channel, got .*; say which values|cannot be dec"):
            read_image(path)
        if kind != np.float16:
            np.testing.assert_array_equal(
                read_image(path, Reading((0,), ((0, 255),)))[..., 0], BANDS[..., 0] // 2, str(kind)
            )


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations(tmp_path: Path, suffix: str, orientation: int) -> None:
    path, image = tmp_path / f"a.{suffix}", cv2.resize(BANDS[..., :3], (90, 60), interpolation=cv2.INTER_LINEAR)
    exif = Image.Exif()
    exif[0x0112] = orientation
    if suffix == "tif":
        tifffile.imwrite(path, image, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    else:
        lossless = {"lossless": True} if suffix == "webp" else {"quality": 100, "subsampling": 0}
        Image.fromarray(image).save(path, exif=exif, **lossless)
    assert orientation_of(path.read_bytes()) == orientation
    turns = [image, image[:, ::-1], image[::-1, ::-1], image[::-1], image.swapaxes(0, 1), np.rot90(image, -1)]
    shown = [*turns, np.rot90(image, 2).swapaxes(0, 1), np.rot90(image)][orientation - 1]
    for reading, wanted in (
        (Reading(), shown),
        (Reading(exif=False), image),
        (Reading((2, 1, 0)), shown[..., ::-1]),
        (Reading((2, 1, 0), None, False), image[..., ::-1]),
    ):
        found = read_image(path, reading)
        assert found.shape == wanted.shape
        assert np.abs(found.astype(int) - wanted).mean() < 2


def test_alpha_is_turned_with_the_rest(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.fromarray(BANDS[..., :4]).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", Reading((3,)))[..., 0], np.rot90(BANDS[..., 3]))


def test_percentiles_are_of_all_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    parts = [rng.normal(1000 * (i + 1), 50, (30, 40)).astype(np.uint16) for i in range(3)]
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, part in zip(paths, parts, strict=True):
        cv2.imwrite(str(path), part)
    found = percentiles(paths, Reading((0,)), read_values)
    assert found == (tuple(np.percentile(np.concatenate(parts).astype(float), (0.5, 99.5))),)
    cv2.imwrite(str(paths[0]), np.full((5, 5), 7, np.uint16))
    with pytest.raises(ValueError, match="data.range: expected training images of differing values, got 7 nearly"):
        percentiles(paths[:1], Reading(), read_values)


def test_headers_that_end_early(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", BANDS, **CONTIG)
    data = (tmp_path / "a.tif").read_bytes()
    for end in range(0, len(data), 7):
        cut = data[:end]
        read_tiff(cut)
        assert 1 <= orientation_of(cut) <= 8
        path = tmp_path / "cut.tif"
        path.write_bytes(cut)
        with pytest.raises(ValueError, match="image '.*cut.tif': expected"):
            read_image(path, Reading((4,)))
