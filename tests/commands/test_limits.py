"""Images that claim to be too large, and text in other encodings: the file is named, with what to do.

python -m pytest tests/commands/test_limits.py
"""

import base64
import json
import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import LABELS, Script, fails, train_options

SIZE = (94012, 16837)


def png(width: int, height: int, color: int) -> bytes:
    """A PNG whose header claims a size that its data do not have."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def tiff(width: int, height: int) -> bytes:
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 1}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


@pytest.mark.slow
def test_every_command_names_file_size_and_limit(tmp_path: Path, data: Path, script: Script) -> None:
    assert script("seg-train", *train_options(data), "fit.epochs=1", name="a").returncode == 0
    folders = {"images": data / "val/images", "masks": data / "val/masks"}
    once = {"checkpoint": "runs/a/best.pt", "images": data / "val/images"}
    said = r"s100.png': too large: expected at most 268435456 pixels \(max_pixels\), got 94012 x 16837; raise"
    for content in (png(*SIZE, 2), tiff(*SIZE)):
        (data / "val/images/s100.png").write_bytes(content)
        results = {
            "train": script("seg-train", *train_options(data), name="b"),
            "evaluate": script("seg-evaluate", **folders, checkpoint="runs/a/best.pt", destination="out"),
            "predict": script("seg-predict", **once, destination="out"),
            "diagnose": script("seg-diagnose", **once, destination="out", number=2),
        }
        for name, result in results.items():
            fails(result, 1 if name == "predict" else 2, said)
            assert "cv::" not in result.stderr + result.stdout
            assert "ssertion" not in result.stderr + result.stdout
        audit = script("seg-audit", **folders, destination="audit", json="true")
        assert audit.returncode == 1
        assert re.search(
            r"too large: expected at most 268435456 pixels \(max_pixels\), got 94012 x 16837", audit.stdout
        )
        assert "penCV" not in audit.stdout
    # raised at will: the limit is no longer what is wrong with the file, and OpenCV has none of its own
    result = script("seg-predict", **once, destination="out", max_pixels=10**10)
    fails(result, 1, "1 of 2 images failed: image '.*s100.png': expected .*(decoded|memory)")
    fails(script("seg-predict", **once, destination="out", max_pixels=100), 1, "1 of 2 .* at most 100 pixels")
    fails(script("seg-predict", **once, destination="out", max_pixels="[1]"), 2, r"max_pixels: expected a whole number")
    # masks alike
    (data / "val/masks/s101.png").write_bytes(png(*SIZE, 0))
    (data / "val/images/s100.png").write_bytes((data / "val/images/s101.png").read_bytes())
    fails(script("seg-train", *train_options(data), name="b"), 2, "mask '.*s101.png': too large: expected at most")
    masks = {"source": "data/val/masks", "labels": "data/val/masks/labels.yaml"}
    result = script("seg-preprocess", **masks, destination="c", inverse="true")
    assert re.search("s101.png: too large: expected at most", result.stderr)


def test_a_run_goes_on_under_another_limit(data: Path, script: Script) -> None:
    assert script("seg-train", *train_options(data), "fit.epochs=1", name="a").returncode == 0
    result = script("seg-train", *train_options(data), "fit.epochs=1", name="a", max_pixels=10**6)
    assert result.returncode == 0, result.stderr
    assert "is complete" in result.stdout


def annotation(**more: object) -> str:
    shape = {"label": "天空", "points": [[0, 0], [9, 0], [9, 5], [0, 5]], "shape_type": "polygon"}
    content = {"imageHeight": 6, "imageWidth": 10, "shapes": [shape], "imageData": None, **more}
    return json.dumps(content, ensure_ascii=False)


def test_encodings_of_annotations_and_maps(tmp_path: Path, script: Script) -> None:
    (tmp_path / "map.csv").write_bytes("name,r,g,b\n天空,1,2,3\n_background_,0,0,0\n".encode("utf-16"))
    (tmp_path / "json").mkdir()
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "gb2312"):
        (tmp_path / "json" / f"{encoding}.json").write_bytes(annotation().encode(encoding))
    result = script("seg-preprocess", source="json", destination="masks", labels="map.csv", read="labelme")
    fails(result, 1, "1 of 4 files failed")
    assert re.search(r"gb2312.json: expected UTF-8 text.*got another encoding \(GB2312 or GBK.* save it", result.stderr)
    (tmp_path / "gbk.csv").write_bytes("name,r,g,b\n天空,1,2,3\n".encode("gbk"))
    result = script("seg-preprocess", source="json", destination="m", labels="gbk.csv", read="labelme")
    fails(result, 2, r"gbk.csv: expected UTF-8 text.*GB2312 or GBK")


def test_a_null_size_is_that_of_the_image(tmp_path: Path, script: Script) -> None:
    LABELS.save(tmp_path / "map.yaml")
    image = cv2.imencode(".png", np.zeros((6, 10, 3), np.uint8))[1].tobytes()
    (tmp_path / "json").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(image)
    shape = {"label": "sky", "points": [[0, 0], [9, 0], [9, 5], [0, 5]], "shape_type": "polygon"}
    unknown = {"imageHeight": None, "imageWidth": None, "shapes": [shape]}
    for name, more in {
        "embedded": {"imageData": base64.b64encode(image).decode()},
        "named": {"imageData": None, "imagePath": "../images/a.png"},
        "windows": {"imagePath": "..\\images\\a.png"},
        "nowhere": {"imagePath": "b.png"},
        "broken": {"imageData": "!"},
    }.items():
        (tmp_path / "json" / f"{name}.json").write_text(json.dumps({**unknown, **more}))
    result = script("seg-preprocess", source="json", destination="masks", labels="map.yaml", read="labelme")
    fails(result, 1, "2 of 5 files failed")
    assert re.search("nowhere.json: imageHeight and imageWidth: expected .* or null and an image", result.stderr)
    for name in ("embedded", "named", "windows"):
        assert cv2.imread(str(tmp_path / f"masks/{name}.png"), -1).shape == (6, 10)
