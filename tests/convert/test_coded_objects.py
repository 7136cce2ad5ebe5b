"""Label images of 16 bits that hold class * 256, or * 1000, + instance, as a user converts them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from seg.convert import convert_folder
from seg.labels import Label, LabelMap
from tests.convert.test_folder import outcome, read

LABELS = LabelMap([Label("road", values=(7,)), Label("car", values=(26,)), Label("void", values=(0,), ignore=True)])
# road without instances, two cars, one of them instance 0 of id256; void
IDS = {
    "id256": np.array([[0, 7 * 256, 26 * 256], [26 * 256 + 3, 26 * 256 + 3, 7 * 256]], np.uint16),
    "id1000": np.array([[0, 7, 26000], [26003, 26003, 7]], np.uint16),
}
MASK = [[255, 0, 1], [1, 1, 0]]
OBJECTS = {"id256": [[0, 1, 2], [3, 3, 1]], "id1000": [[0, 0, 1], [2, 2, 0]]}


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("way", IDS)
def test_class_and_instance_in_16_bits(tmp_path: Path, way: str, suffix: str) -> None:
    source, numbers = tmp_path / "ids", tmp_path / "numbers"
    source.mkdir()
    cv2.imwrite(str(source / f"a.{suffix}"), IDS[way])
    for attempt, options in enumerate(({}, {"instances": numbers})):
        target = tmp_path / f"masks{attempt}"
        summary = convert_folder(source, target, LABELS, read=way, **options)
        assert outcome(summary) == (1, 0, 0)
        assert (summary.pixels, summary.ignored) == ({"road": 2, "car": 3}, 1)
        assert read(target / "a.png").tolist() == MASK
    assert read(numbers / "a.png").tolist() == OBJECTS[way]


def test_against_numpy(tmp_path: Path) -> None:
    """Every class and every instance; tiles have the same numbers as the whole image."""
    rng = np.random.default_rng(5)
    labels = LabelMap([Label(f"c{value}", values=(value,)) for value in range(66)])
    for way, step in (("id256", 256), ("id1000", 1000)):
        ids = rng.integers(0 if step == 256 else 1000, 66 * step if step == 256 else 1 << 16, (64, 96)).astype(
            np.uint16
        )
        if step == 1000:
            ids[:9] = ids[:9] // 1000
        (tmp_path / way).mkdir()
        cv2.imwrite(str(tmp_path / way / "a.png"), ids)
        target, numbers = tmp_path / f"{way}-masks", tmp_path / f"{way}-numbers"
        assert outcome(convert_folder(tmp_path / way, target, labels, read=way, instances=numbers)) == (1, 0, 0)
        classes = ids // 256 if step == 256 else np.where(ids < 1000, ids, ids // 1000)
        assert (read(target / "a.png") == classes).all()
        found = read(numbers / "a.png").astype(np.int64)
        objects = ids >= (0 if step == 256 else 1000)
        assert ((found > 0) == objects).all()
        pairs = np.unique(np.stack([ids[objects], found[objects]]), axis=1)
        assert pairs.shape[1] == len(np.unique(ids[objects])) == found.max()  # one number for each, none left out


def test_what_does_not_fit(tmp_path: Path) -> None:
    """Files of 8 bits would all be class 0; an unlisted class is named as one."""

    def reason(image: np.ndarray, way: str, labels: LabelMap = LABELS) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        cv2.imwrite(str(folder / "a.png"), image)
        return convert_folder(folder, tmp_path / f"of-{folder.name}", labels, read=way).failures[0][1]

    narrow = reason(np.array([[7, 26]], np.uint8), "id256")
    wanted = (
        "expected a grayscale image of 16 bits, class * 256 + instance, got a grayscale image of 8 bits; use read=auto"
    )
    assert wanted in narrow
    assert "got an RGB image; use read=auto" in reason(np.zeros((2, 2, 3), np.uint8), "id1000")
    colors = LabelMap([Label("road", colors=((128, 64, 128),))])
    assert "id256: expected values (number / 256) in the label map, got colours only" in reason(
        IDS["id256"], "id256", colors
    )
    assert "value 30 is not in the label map: 1 pixel of 1 unlisted value" in reason(
        np.array([[7 * 256, 30 * 256 + 9]], np.uint16), "id256"
    )
    # the advice, followed, is right
    assert "use read=id256 if pixels hold class * 256 + instance, or add it" in reason(IDS["id256"], "auto")
    assert "use read=id1000 if pixels hold class * 1000 + instance, or add it" in reason(IDS["id1000"], "auto")


def test_numbers_are_made_when_asked_for_later(tmp_path: Path) -> None:
    source, target, numbers = tmp_path / "ids", tmp_path / "masks", tmp_path / "numbers"
    source.mkdir()
    cv2.imwrite(str(source / "a.png"), IDS["id256"])
    assert outcome(convert_folder(source, target, LABELS, read="id256")) == (1, 0, 0)
    assert outcome(convert_folder(source, target, LABELS, read="id256", instances=numbers)) == (1, 0, 0)
    assert outcome(convert_folder(source, target, LABELS, read="id256", instances=numbers)) == (0, 1, 0)
    assert read(numbers / "a.png").tolist() == OBJECTS["id256"]
    with pytest.raises(
        ValueError, match="expected only with read=labelme, coco, cityscapes_polygons, binary, id256, id1000, which"
    ):
        convert_folder(source, tmp_path / "other", LABELS, instances=numbers)
