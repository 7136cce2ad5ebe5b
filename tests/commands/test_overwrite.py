"""Files of others in a destination: refused by name, replaced on request; those of an earlier call are no others'.

python -m pytest tests/commands/test_overwrite.py
"""

from pathlib import Path

import pytest
from conftest import Script, fails, write_pairs
from made_runs import write_run

from seg.files.claims import claim

COMMANDS = {
    "seg-compare": ("runs=runs", "draws=100"),
    "seg-evaluate": ("predictions=d/masks", "masks=d/masks", "images=d/images"),
    "seg-audit": ("images=d/images", "masks=d/masks"),
}
FILES = {
    "seg-compare": ("results.csv", "report.md", "cost.png", "image-12.png"),
    "seg-evaluate": ("metrics.json", "config.yaml", "confusion.csv", "pictures/01_50.0_mine.png"),
    "seg-audit": ("audit.json", "audit.html"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for level in ("dice", "focal"):
        for seed in range(2):
            write_run(tmp_path / "runs" / f"{level}-{seed}", level, seed)
    write_pairs(tmp_path / "d", 2)
    return tmp_path


def state(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", FILES)
def test_a_file_of_others_is_refused_and_replaced_on_request(command: str, folder: Path, script: Script) -> None:
    call = [*COMMANDS[command], "destination=out"]
    mine = [folder / "out" / name for name in FILES[command]]
    for name, path in zip(FILES[command], mine, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        before = state(folder / "out")
        message = rf"destination: .*got 'out/{name}', which no {command} wrote .*give another folder, or overwrite=true"
        fails(script(command, *call), 2, message)
        assert state(folder / "out") == before
        path.unlink()
    for path in mine:
        path.write_text("mine")
    before = state(folder / "out")
    for _ in range(2):  # that it was refused makes none its own
        fails(script(command, *call), 2, f"which no {command} wrote")
        assert state(folder / "out") == before
    assert script(command, *call, "overwrite=true").returncode == 0
    assert not [path for path in mine if path.exists() and path.read_bytes() == b"mine"]
    assert script(command, *call).returncode == 0


@pytest.mark.parametrize(
    ("command", "last"),
    [("seg-compare", "report.html"), ("seg-evaluate", "pictures/01_100.0_s0.png"), ("seg-audit", "audit.json")],
)
def test_what_a_call_wrote_is_its_own(command: str, last: str, folder: Path, script: Script) -> None:
    """After its end, after a kill before it, and of a version that left no list; files beside it stay."""
    (folder / "out").mkdir()
    (folder / "out/mine.txt").write_text("mine")
    call = [*COMMANDS[command], "destination=out"]
    assert script(command, *call).returncode == 0
    listing = folder / "out/.written"
    listed = listing.read_bytes()
    listing.unlink()  # as earlier versions left it
    assert script(command, *call).returncode == 0
    assert listing.read_bytes() == listed
    for path in state(folder / "out"):  # a kill leaves some of the files, without what a version is known by
        if path.suffix == ".json" and path != listing:
            path.unlink()
    assert script(command, *call).returncode == 0
    assert (folder / "out" / last).exists()
    assert (folder / "out/mine.txt").read_text() == "mine"


def test_commands_do_not_take_each_others_files(folder: Path, script: Script) -> None:
    assert script("seg-compare", *COMMANDS["seg-compare"], "destination=out").returncode == 0
    message = "got 'out/worst.png', which no seg-evaluate wrote"
    fails(script("seg-evaluate", *COMMANDS["seg-evaluate"], "destination=out"), 2, message)


def test_no_value_of_a_sweep_is_written_before_all_are_looked_at(folder: Path, script: Script) -> None:
    options = ("by=loss", "axis=seed", "draws=100", "runs=runs", "destination=out")
    for seed in range(2):
        write_run(folder / "runs" / f"more-{seed}", "focal", seed + 2)
    (folder / "out/focal").mkdir(parents=True)
    (folder / "out/focal/results.csv").write_text("mine")
    before = state(folder / "out")
    fails(script("seg-compare", *options), 2, "got 'out/focal/results.csv', which no seg-compare wrote")
    assert state(folder / "out") == before
    assert not (folder / "out/dice").exists()


def test_saved_masks_do_not_replace_predictions_of_others(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    claim("seg-evaluate", {folder: [folder / "metrics.json"]}, {})
    masks = folder / "predictions"
    masks.mkdir()
    (masks / "a.png").touch()
    with pytest.raises(ValueError, match=r"got '.*a\.png', which no seg-evaluate wrote"):
        claim("seg-evaluate", {folder: [masks / "a.png"]}, {})


def test_a_broken_list_and_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / ".written").write_text('{"x": [["a"], 1]}')
    claim("x", {tmp_path: []}, {})
    (tmp_path / ".written").write_text("[1")
    (tmp_path / "a").symlink_to("nothing")
    with pytest.raises(ValueError, match="got '.*a', which no x wrote"):
        claim("x", {tmp_path: [tmp_path / "a"]}, {})
    claim("x", {tmp_path: [tmp_path / "b\udcff"]}, {})
    (tmp_path / "b\udcff").touch()
    claim("x", {tmp_path: [tmp_path / "b\udcff"]}, {})
