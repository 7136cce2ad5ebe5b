"""The files of JSON that commands write, held against their schemas; a new field needs a description there.

python -m pytest tests/commands/test_schemas.py
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
from conftest import SMALLEST, Script
from made_runs import write_run
from PIL import Image

import seg
from seg.inference.trained import load

PACKAGE = Path(seg.__file__).parent
GOLDEN = Path(__file__).resolve().parents[1] / "golden/format4/best.pt"
OLD = GOLDEN.parents[1] / "format2/best.pt"
SCHEMAS = {f"{path.parent.name}/{path.name}": json.loads(path.read_text()) for path in PACKAGE.rglob("*.schema.json")}


def check(name: str, *documents: Any) -> None:
    assert documents
    validator = jsonschema.Draft202012Validator(SCHEMAS[name] | {"additionalProperties": False})
    for document in documents:
        errors = [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(document)]
        assert not errors, errors


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def objects(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every part that lists fields."""
    if "properties" in schema and "type" in schema:
        yield schema
    for key in ("items", "additionalProperties"):
        yield from objects(schema[key]) if isinstance(schema.get(key), dict) else ()
    for field in schema.get("properties", {}).values():
        yield from objects(field)


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_strict_and_say_all(name: str) -> None:
    schema = SCHEMAS[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for part in objects(schema):
        own = part is schema and name == "evaluation/metrics.schema.json"  # those of a metric of the user's
        assert own or part["additionalProperties"] is False, part["description"]
        assert set(part["required"]) <= set(part["properties"])
        assert all(field.get("description") for field in part["properties"].values())


def test_a_new_field_fails() -> None:
    with pytest.raises(AssertionError, match="Additional properties are not allowed"):
        check("inference/manifest-line.schema.json", {"file": "a", "status": "begun", "key": "{}", "more": 1})
    with pytest.raises(AssertionError, match="not valid under any"):
        check("convert/manifest-line.schema.json", {"file": "a", "status": "failed", "key": "k"})


def test_preprocess(tmp_path: Path, script: Script) -> None:
    """Label images of many kinds: right, unlisted, clear, turned, lossy; whole and cut, in shards, and back."""
    for folder in ("labels", "scenes", "masks2"):
        (tmp_path / folder).mkdir()
    colors = np.zeros((40, 60, 3), np.uint8)
    colors[20:] = (128, 64, 128)
    for name in ("a", "b"):
        Image.fromarray(colors).save(tmp_path / f"labels/{name}.png")
        Image.fromarray(colors).save(tmp_path / f"scenes/{name}.png")
    (tmp_path / "map.csv").write_text("name,r,g,b\nvoid,0,0,0\nroad,128,64,128\n")
    words = {"source": "labels", "labels": "map.csv", "ignore": "[void]"}
    assert (
        script(
            "seg-preprocess", **words, destination="tiles", tile=16, images="scenes", images_destination="cut"
        ).returncode
        == 0
    )
    assert script("seg-preprocess", **words, destination="shard", shard="1/2").returncode == 0
    clear = np.dstack([colors, np.full((40, 60), 255, np.uint8)])
    clear[30:, :, 3] = 0
    Image.fromarray(clear).save(tmp_path / "labels/clear.png")
    near = colors + np.uint8(3)
    near[30:, :9] += 2
    Image.fromarray(near).save(tmp_path / "labels/near.png")
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(tmp_path / "labels/wrong.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(colors).save(tmp_path / "labels/turned.png", exif=turned)
    Image.fromarray(colors).save(tmp_path / "labels/lossy.jpg", quality=100)
    (tmp_path / "labels/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = script("seg-preprocess", **words, destination="masks", unknown="nearest", max_distance=60)
    assert done.returncode == 1, done.stderr
    records = [record for folder in ("masks", "tiles", "shard") for path in (tmp_path / folder).glob("manifest*.jsonl")
               for record in lines(path)]  # fmt: skip
    check("convert/manifest-line.schema.json", *records)
    kinds = {key for record in records for key in record}
    assert kinds >= {"reason", "transparent", "merged", "exif", "lossy", "height", "crc32"}
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(tmp_path / "masks2/a.png")
    back = script(
        "seg-preprocess", source="masks2", destination="back", labels="map.csv", ignore="[void]", inverse="true"
    )
    assert back.returncode == 0, back.stderr
    totals = [*tmp_path.glob("*/manifest.json"), *tmp_path.glob("shard/manifest.*.json")]
    assert len(totals) == 4
    check("convert/manifest.schema.json", *(json.loads(path.read_text()) for path in totals))


def test_preprocess_annotations(tmp_path: Path, script: Script) -> None:
    """COCO, with numbers of objects; an image without annotations."""
    box = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [2, 2, 8, 8], "area": 64}
    data = {
        "images": [{"id": n, "file_name": f"{n}.png", "height": 20, "width": 30} for n in (1, 2)],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [{**box, "segmentation": [[2, 2, 10, 2, 10, 10, 2, 10]]}],
    }
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco/a.json").write_text(json.dumps(data))
    (tmp_path / "map.csv").write_text("name,r,g,b\nbackground,0,0,0\ncar,1,1,1\n")
    words = {"source": "coco/a.json", "destination": "masks", "labels": "map.csv", "read": "coco", "names": "last"}
    done = script("seg-preprocess", **words, instances_destination="numbers")
    assert done.returncode == 0, done.stderr
    check("convert/manifest-line.schema.json", *lines(tmp_path / "masks/manifest.jsonl"))
    check("convert/manifest.schema.json", json.loads((tmp_path / "masks/manifest.json").read_text()))


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """Images and masks for the checkpoint, which has boxes too."""
    labels, rng = load(GOLDEN).labels, np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "street" / folder).mkdir(parents=True)
    for number in range(2):
        mask = cv2.resize(rng.integers(0, 10, (4, 6), np.uint8), (96, 64), interpolation=cv2.INTER_NEAREST)
        mask[:5] = 255
        cv2.imwrite(str(tmp_path / f"street/masks/{number}.png"), mask)
        cv2.imwrite(str(tmp_path / f"street/images/{number}.png"), rng.integers(0, 256, (64, 96, 3), np.uint8))
    labels.save(tmp_path / "street/masks/labels.yaml")
    return tmp_path / "street"


def test_predict_and_evaluate(street: Path, tmp_path: Path, script: Script) -> None:
    """With everything that can be asked for; then the masks that were predicted, again without the model."""
    (street / "images/broken.png").write_bytes(b"no image")
    more = {"confidence": "true", "probabilities": "uint8", "colors": "true", "boxes": "true"}
    predict = script("seg-predict", checkpoint=GOLDEN, images=street / "images", destination="predicted", **more)
    assert predict.returncode == 1, predict.stderr
    records = lines(tmp_path / "predicted/manifest.jsonl")
    assert {record["status"] for record in records} == {"begun", "converted"}
    check("inference/manifest-line.schema.json", *records)
    (street / "images/broken.png").unlink()
    folders = {name: street / name for name in ("images", "masks")}
    fit = {f"temperature_{name}": folder for name, folder in folders.items()}
    for checkpoint, number, more in ((GOLDEN, 2, {}), (OLD, "fit", fit)):
        options = {
            **folders,
            **more,
            "temperature": number,
            "surface": "true",
            "workers": 0,
            "destination": checkpoint.parent.name,
        }
        judged = script("seg-evaluate", checkpoint=checkpoint, **options)
        assert judged.returncode == 0, judged.stderr
    boxes, fitted = (json.loads((tmp_path / path.parent.name / "metrics.json").read_text()) for path in (GOLDEN, OLD))
    assert {"hd95", "ece_tempered", "ap"} <= set(boxes)
    assert "temperature_fitted_on" in fitted
    check("evaluation/metrics.schema.json", boxes, fitted)
    assert script("seg-evaluate", predictions="predicted", masks=street / "masks", destination="p").returncode == 0
    check("evaluation/metrics.schema.json", json.loads((tmp_path / "p/metrics.json").read_text()))


def test_a_run(data: Path, tmp_path: Path, script: Script) -> None:
    """A run's own ``metrics.json`` has the loss too."""
    folders = {f"data.{part}.{kind}": data / part / kind for part in ("train", "val") for kind in ("images", "masks")}
    options = {"smoke": "true", "name": "x", "logger": "none", "loader.workers": 0, "augment": "none"}
    done = script("seg-train", *SMALLEST, **folders, **options)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.rglob("x*/metrics.json")
    found = json.loads(path.read_text())
    assert "loss" in found
    check("evaluation/metrics.schema.json", found)


@pytest.mark.parametrize("seeds", [1, 3])
def test_compare(seeds: int, tmp_path: Path, script: Script) -> None:
    for level, better in (("dice", 0.1), ("focal", 0.0), ("lovasz", 0.0)):
        for seed in range(seeds):
            write_run(tmp_path / f"runs/{level}-{seed}", level, seed, better=better)
    write_run(tmp_path / "runs/half", "dice", 9, complete=False)
    done = script("seg-compare", runs="runs", destination="report")
    assert done.returncode == 1, done.stderr
    found = json.loads((tmp_path / "report/statistics.json").read_text())
    assert found["excluded"]
    check("compare/statistics.schema.json", found)
    rows = [f"val/{number:03},{'ab'[number % 2]}" for number in range(12)]
    (tmp_path / "images.csv").write_text("\n".join(["image,site", *rows]))
    more = {"reference": "focal", "attributes": "images.csv"}
    assert script("seg-compare", runs="runs", destination="one", **more).returncode == 1
    sliced = json.loads((tmp_path / "one/slices.json").read_text())
    assert (sliced["adjusted"], sliced["reference"], sliced["tests"]) == ("Holm", "focal", 4)
    check("compare/slices.schema.json", sliced)
    check("compare/statistics.schema.json", json.loads((tmp_path / "one/statistics.json").read_text()))
