"""Suspect labels: planted errors are found, hard pixels are not, and masks go out and come back.

python -m pytest tests/audit/test_suspects.py
"""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import LABELS, Script, fails, scene
from numpy.typing import NDArray

from seg.audit.records import Split
from seg.audit.suspects import Probabilities, Suspects, find_suspects
from seg.audit.suspects.finding import suggestion
from seg.audit.suspects.selected import write_selected
from seg.convert import convert_folder
from seg.data.pairs import Pair, pair

NAMES = [label.name for label in LABELS.labels if not label.ignore]
SKY, ROAD, CAR = range(3)


def write_mask(folder: Path, name: str, mask: NDArray[np.uint8]) -> None:
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)
    LABELS.save(folder / "masks" / "labels.yaml")


def write_shares(run: Path, name: str, mask: NDArray[np.uint8], *, sure: float = 0.9, names: list[str] = NAMES) -> None:
    """What a model says that takes every pixel for its class in ``mask``; nothing is known of ignored ones."""
    (run / "probabilities").mkdir(parents=True, exist_ok=True)
    classes = np.where(mask == 255, SKY, mask)
    shares = np.full((3, *mask.shape), (1 - sure) / 2)
    np.put_along_axis(shares, classes[None].astype(int), sure, 0)
    kept = np.round(255 * shares).astype(np.uint8)
    np.savez_compressed(run / "probabilities" / f"{name}.npz", probabilities=kept, classes=np.array(names))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six scenes; in ``s1`` a car is labelled road, and a corner of the sky in ``s2`` is labelled car."""
    (tmp_path / "images").mkdir()
    for number in range(6):
        image, mask = scene(number)
        cv2.imwrite(str(tmp_path / "images" / f"s{number}.png"), image[..., ::-1])
        write_shares(tmp_path / "runs" / f"fold{number % 2}", f"s{number}", mask)
        if number == 1:
            mask[mask == CAR] = ROAD
        if number == 2:
            mask[4:12, 80:96] = CAR
        write_mask(tmp_path, f"s{number}", mask)
    return tmp_path


def found_in(folder: Path, **options: int) -> Suspects:
    return find_suspects(
        pair(folder / "images", folder / "masks"), Probabilities.of(str(folder / "runs")), LABELS, **options
    )


def test_planted_errors_are_found_and_nothing_else(folder: Path) -> None:
    suspects = found_in(folder)
    kinds = {(each.name, each.label, each.suggested) for each in suspects.found}
    assert kinds == {("s1", "road", "car"), ("s2", "car", "sky")}
    largest = suspects.found[0]
    assert (largest.name, largest.area) == ("s1", 384)  # 16 x 24 pixels
    x, y, right, bottom = largest.box
    assert (right - x, bottom - y) == (24, 16)
    assert [each.score for each in suspects.found] == sorted((each.score for each in suspects.found), reverse=True)


def test_a_region_is_rebuilt_from_its_seed(folder: Path) -> None:
    suspects = found_in(folder)
    for each in suspects.found:
        region = suspects.region(each, *suspects.look(each.name))
        assert region.sum() == each.area
        rows, columns = np.nonzero(region)
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == each.box


def test_against_a_definition_pixel_by_pixel() -> None:
    """Above the thresholds of their classes and the label, by every model, the most probable; written as loops."""
    rng = np.random.default_rng(0)
    mask = rng.choice(np.array([0, 1, 2, 255], np.uint8), (9, 11))
    shares = rng.dirichlet([1, 1, 1], (2, 9, 11)).transpose(0, 3, 1, 2).astype(np.float32)
    thresholds = np.array([0.3, 0.4, 0.2])
    suggested, times = suggestion(mask, shares, thresholds)
    for y in range(9):
        for x in range(11):
            lowest = [min(float(shares[m, c, y, x]) for m in range(2)) for c in range(3)]
            able = [c for c in range(3) if lowest[c] >= thresholds[c]]
            best = max(able, key=lambda c: lowest[c]) if able else -1
            highest = 1 if mask[y, x] == 255 else max(float(shares[m, mask[y, x], y, x]) for m in range(2))
            expected = best if best not in (-1, mask[y, x]) and lowest[best] > highest else -1
            assert suggested[y, x] == expected
            likelier = (lowest[best] + 1 / 512) / (highest + 1 / 512)
            assert times[y, x] == pytest.approx(np.log(likelier) if expected >= 0 else 0)


def test_thresholds_are_the_mean_probability_where_a_class_is_labelled(folder: Path) -> None:
    suspects = found_in(folder)
    sums, pixels = np.zeros(3), np.zeros(3)
    for name, each in suspects.pairs.items():
        mask = cv2.imread(str(each.mask), cv2.IMREAD_UNCHANGED)
        shares = np.load(folder / "runs" / f"fold{int(name[1]) % 2}" / "probabilities" / f"{name}.npz")
        for index in range(3):
            sums[index] += shares["probabilities"][index][mask == index].sum() / 255
            pixels[index] += (mask == index).sum()
    assert suspects.thresholds == pytest.approx(sums / pixels, rel=1e-5)


def test_ignored_pixels_borders_and_specks_are_no_suspects(folder: Path) -> None:
    image, mask = scene(7)
    cv2.imwrite(str(folder / "images" / "s7.png"), image)
    model = mask.copy()
    model[:3] = ROAD  # where 255 is
    model[30:33] = SKY  # the border of the road, two rows of it
    model[50:52, 10:12] = CAR  # a speck
    write_shares(folder / "runs" / "fold1", "s7", model)
    write_mask(folder, "s7", mask)
    assert "s7" not in {each.name for each in found_in(folder).found}
    assert "s7" in {each.name for each in found_in(folder, least=4).found}
    assert ("s7", "road", "sky") in {(e.name, e.label, e.suggested) for e in found_in(folder, tolerance=0).found}


def test_every_model_has_to_disagree(folder: Path) -> None:
    """Where one of two seeds believes the label, the pixel is hard and not suspect."""
    mask = cv2.imread(str(folder / "masks" / "s1.png"), cv2.IMREAD_UNCHANGED)
    write_shares(folder / "runs" / "second", "s1", mask)  # this one believes that the car is road
    assert "s1" not in {each.name for each in found_in(folder).found}


def test_a_pattern_of_runs_and_a_folder_that_looks_like_one(folder: Path, script: Script) -> None:
    given = {"images": folder / "images", "masks": folder / "masks"}
    done = script("seg-audit", **given, suspects=folder / "runs" / "fold*", destination="out")
    assert "2 suspect regions in 6 images" in done.stdout, done.stderr
    (folder / "runs").rename(folder / "runs[1]")
    assert len(Probabilities.of(str(folder / "runs[1]")).files) == 6


def test_images_of_several_sizes(folder: Path) -> None:
    image, mask = scene(8, height=40, width=128)
    cv2.imwrite(str(folder / "images" / "s8.png"), image)
    write_shares(folder / "runs" / "fold0", "s8", mask)
    mask[25:35, 5:25] = SKY
    write_mask(folder, "s8", mask)
    assert ("s8", "sky", "road") in {(each.name, each.label, each.suggested) for each in found_in(folder).found}


def test_the_command_writes_table_page_and_masks(folder: Path, script: Script) -> None:
    given = {"images": folder / "images", "masks": folder / "masks", "suspects": folder / "runs"}
    done = script("seg-audit", **given, destination="out", masks_destination="cleaned")
    assert done.returncode == 0, done.stderr
    assert "2 suspect regions in 6 images; written to out: suspects.html, suspects.csv" in done.stdout
    with (folder / "out" / "suspects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["rank"], row["name"], row["suggested"]) for row in rows] == [("1", "s1", "car"), ("2", "s2", "sky")]
    page = (folder / "out" / "suspects.html").read_text()
    assert page.count("<figure") == 2
    assert "labelled road, models say car" in page
    for number in range(6):
        before, after = (
            cv2.imread(str(folder / where / f"s{number}.png"), cv2.IMREAD_UNCHANGED) for where in ("masks", "cleaned")
        )
        changed = before != after
        assert (after[changed] == 255).all()
        assert changed.sum() == sum(int(row["area"]) for row in rows if row["name"] == f"s{number}")
    again = script("seg-audit", **given, destination="out", masks_destination="cleaned", write="voc", number=1)
    assert again.returncode == 0, "what it wrote itself is replaced"
    assert "masks of the 1 image with the first suspects written to out/selected, and as voc to out/voc" in again.stdout
    assert (folder / "out" / "voc" / "SegmentationClass" / "s1.png").is_file()


def test_corrected_masks_take_the_place_of_suspect_ones(folder: Path, script: Script) -> None:
    _, truth = scene(1)
    (folder / "back").mkdir()
    cv2.imwrite(str(folder / "back" / "s1.png"), truth)
    given = {"images": folder / "images", "masks": folder / "masks", "suspects": folder / "runs"}
    done = script("seg-audit", **given, destination="out", masks_destination="repaired", corrected=folder / "back")
    assert done.returncode == 0, done.stderr
    assert "6 masks written to repaired, 1 of them corrected" in done.stdout
    assert (cv2.imread(str(folder / "repaired" / "s1.png"), cv2.IMREAD_UNCHANGED) == truth).all()
    cv2.imwrite(str(folder / "back" / "s1.png"), truth[:10])
    fails(
        script("seg-audit", **given, destination="out", masks_destination="again", corrected=folder / "back"),
        2,
        "corrected: expected masks of the size .* got 96x10 for 96x64 .*; export it at its full size",
    )
    cv2.imwrite(str(folder / "back" / "other.png"), truth)
    fails(
        script("seg-audit", **given, destination="out", masks_destination="again", corrected=folder / "back"),
        2,
        "corrected: expected masks with names of the set, got 1 others, such as 'other.png'; rename them",
    )


def test_wrong_requests(folder: Path, script: Script) -> None:
    given = {"images": folder / "images", "masks": folder / "masks", "destination": "out"}
    fails(script("seg-audit", **given, suspects=folder / "images"), 2, "suspects: expected runs that kept .* got none")
    fails(script("seg-audit", **given, number=3), 2, "number: expected it with suspects alone, got '3' without")
    fails(script("seg-audit", **given, suspects=folder / "runs", least=0), 2, "least: expected a whole number")
    fails(script("seg-audit", **given, suspects=folder / "runs", corrected="back"), 2, "masks_destination beside it")
    asked = {**given, "suspects": folder / "runs", "corrected": "typo", "masks_destination": "x"}
    fails(script("seg-audit", **asked), 2, "corrected: expected an existing folder, got 'typo'")
    assert not (folder / "out").exists()


def test_probabilities_that_do_not_fit(folder: Path) -> None:
    pairs = pair(folder / "images", folder / "masks")
    file = folder / "runs" / "fold1" / "probabilities" / "s1.npz"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"got '.*s1.npz', which is damaged .*; train this run again"):
        find_suspects(pairs, Probabilities.of(str(folder / "runs")), LABELS)
    write_shares(folder / "runs" / "fold1", "s1", scene(1)[1][:20])
    with pytest.raises(ValueError, match=r"expected probabilities of 96x64 pixels, .* got 96x20 in .*s1.npz"):
        find_suspects(pairs, Probabilities.of(str(folder / "runs")), LABELS)
    write_shares(folder / "runs" / "fold1", "s1", scene(1)[1], names=["sky", "street", "car"])
    with pytest.raises(ValueError, match=r"expected probabilities of sky, road, car, got those of sky, street, car"):
        find_suspects(pairs, Probabilities.of(str(folder / "runs")), LABELS)
    others = [Pair("x", folder / "images" / "s1.png", folder / "masks" / "s1.png")]
    with pytest.raises(ValueError, match=r"got none for 1 of 1, such as 'x'; give runs that were trained on them"):
        find_suspects(others, Probabilities.of(str(folder / "runs")), LABELS)


@pytest.mark.parametrize("form", ["cvat", "labelstudio"])
def test_the_images_with_suspects_go_to_a_tool_and_come_back(folder: Path, form: str) -> None:
    """All of the selected masks, and nothing else, as annotations that give them back to the bit."""
    split = Split("train", str(folder / "images"), str(folder / "masks"))
    for number, names in ((50, ["s1", "s2"]), (1, ["s1"])):
        write_selected(folder / "out", found_in(folder), number, split, form, overwrite=False)
        assert [path.stem for path in sorted((folder / "out/selected").glob("*.png"))] == names
        done = convert_folder(folder / "out" / form, folder / f"back{number}", LABELS, read=form)
        assert (done.converted, done.failed) == (len(names), 0), "what is no suspect any more is gone"
        for name in names:
            before, back = (cv2.imread(str(folder / path / f"{name}.png"), -1) for path in ("masks", f"back{number}"))
            assert (back == before).all()


def test_a_form_is_refused_before_the_images_are_looked_at(folder: Path, script: Script) -> None:
    given = {"masks": folder / "masks", "suspects": folder / "runs", "destination": "out"}
    fails(
        script("seg-audit", **given, images=folder / "images", write="kitti"),
        2,
        "write: expected one of coco, .* got 'kitti'",
    )
    (folder / "more").mkdir()
    image, _ = scene(9)
    cv2.imwrite(str(folder / "more" / "s9.png"), image)
    both = {"images": f"[{folder}/images,{folder}/more]", "masks": f"[{folder}/masks,{folder}/masks]"}
    fails(
        script("seg-audit", **given | both, write="coco"),
        2,
        "write: images: expected one folder, got .* give the command once for each",
    )
    assert not (folder / "out").exists()
