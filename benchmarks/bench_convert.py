"""Label conversion against its peers: CPU time a file on one thread, every output checked while timing.

python benchmarks/bench_convert.py [ROUNDS]

Each round times every way once on the same files, in the same process, in turn; the table gives medians over the
rounds and ratios to ours. File to file: read, decode, map, encode, write. Inputs are scenes of `seg.synthetic` with
jittered boundaries, written by OpenCV and by Pillow.
"""

import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from seg import _preproc
from seg.synthetic import LABELS, render_scene

SIZES = ((256, 256), (720, 960), (1024, 2048), (3000, 4000))
RESULTS = Path(__file__).parent / "results"

Way = Callable[[list[Path], Path], None]

_LUT = np.full(1 << 24, 254, np.uint8)
_PALETTE = np.zeros((256, 3), np.uint8)
for _color, _index in LABELS.colors:
    _LUT[_color[2] | _color[1] << 8 | _color[0] << 16] = _index
    _PALETTE[_index] = _color
_COLORS = [(np.array(color[::-1], np.uint8), index) for color, index in LABELS.colors]


def ours(files: list[Path], target: Path) -> None:
    """The C++ helper, one thread."""
    table = _preproc.Table(LABELS.colors, LABELS.values)
    jobs = ((file, target / file.name) for file in files)
    for result in _preproc.convert_files(jobs, table, unknown="error", read="auto", threads=1):
        assert result.status == "converted", result.reason


def tuned_lut(files: list[Path], target: Path) -> None:
    """OpenCV, a BGRA view as one integer a pixel, np.take from a table of 2^24."""
    for file in files:
        bgra = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2BGRA)
        keys = bgra.view(np.uint32)[..., 0]
        np.bitwise_and(keys, 0xFFFFFF, out=keys)
        write(target / file.name, np.take(_LUT, keys))


def usual_lut(files: list[Path], target: Path) -> None:
    """OpenCV and shifted channels into the same table."""
    for file in files:
        bgr = cv2.imread(str(file)).astype(np.int32)
        write(target / file.name, _LUT[bgr[..., 0] | bgr[..., 1] << 8 | bgr[..., 2] << 16])


def per_color(files: list[Path], target: Path) -> None:
    """The commonest recipe: np.all for each colour."""
    for file in files:
        bgr = cv2.imread(str(file))
        mask = np.full(bgr.shape[:2], 254, np.uint8)
        for color, index in _COLORS:
            mask[np.all(bgr == color, axis=-1)] = index
        write(target / file.name, mask)


def pillow_lut(files: list[Path], target: Path) -> None:
    """Pillow for reading and writing, the table for mapping."""
    for file in files:
        rgb = np.asarray(Image.open(file)).astype(np.int32)
        mask = _LUT[rgb[..., 2] | rgb[..., 1] << 8 | rgb[..., 0] << 16]
        Image.fromarray(mask).save(target / file.name)


def write(path: Path, mask: np.ndarray) -> None:
    cv2.imwrite(str(path), mask)


WAYS: dict[str, Way] = {
    "seg-preprocess (C++)": ours,
    "cv2 + NumPy, tuned 24-bit LUT": tuned_lut,
    "cv2 + NumPy, usual 24-bit LUT": usual_lut,
    "Pillow + 24-bit LUT": pillow_lut,
    "cv2 + np.all per colour": per_color,
}


def make_files(folder: Path, height: int, width: int, count: int, writer: str) -> dict[Path, np.ndarray]:
    """Label images and the masks that they must become."""
    made = {}
    for seed in range(count):
        mask = render_scene(seed, height=height, width=width)[1]
        rng = np.random.default_rng(seed)  # jagged boundaries, as annotators' polygons at full size have
        rows = (np.arange(height)[:, None] + rng.integers(-1, 2, mask.shape)).clip(0, height - 1)
        columns = (np.arange(width) + rng.integers(-1, 2, mask.shape)).clip(0, width - 1)
        mask = mask[rows, columns]
        path = folder / f"{seed}.png"
        if writer == "cv2":
            cv2.imwrite(str(path), _PALETTE[mask][..., ::-1])
        else:
            Image.fromarray(_PALETTE[mask]).save(path)
        made[path] = mask
    return made


def cpu_ms(way: Way, files: dict[Path, np.ndarray], target: Path) -> float:
    """CPU milliseconds a file; checks every mask, bit for bit, outside the timed part."""
    for old in target.iterdir():
        old.unlink()
    start = time.process_time()
    way(list(files), target)
    elapsed = time.process_time() - start
    for path, mask in files.items():
        np.testing.assert_array_equal(cv2.imread(str(target / path.name), cv2.IMREAD_UNCHANGED), mask)
    return 1e3 * elapsed / len(files)


def measure(height: int, width: int, writer: str, rounds: int) -> dict[str, tuple[float, float]]:
    """Median CPU ms and median ratio to ours, of each way."""
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name) / "source", Path(name) / "target"
        source.mkdir()
        target.mkdir()
        count = max(2, min(40, 20_000_000 // (height * width)))
        files = make_files(source, height, width, count, writer)
        table = [{way: cpu_ms(run, files, target) for way, run in WAYS.items()} for _ in range(rounds + 1)][1:]
    first = next(iter(WAYS))
    return {
        way: (
            statistics.median(row[way] for row in table),
            statistics.median(row[way] / row[first] for row in table),
        )
        for way in WAYS
    }


def main() -> None:
    """Print the table and write it to ``benchmarks/results/``."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    cv2.setNumThreads(1)
    lines = [header(), "", "CPU ms a file (ratio to ours), one thread, file to file, medians", ""]
    columns = [(h, w, writer) for h, w in SIZES for writer in ("cv2", "Pillow")]
    lines.append("| | " + " | ".join(f"{w}x{h}, {writer}" for h, w, writer in columns) + " |")
    lines.append("|---" * (len(columns) + 1) + "|")
    measured = [measure(*column, rounds) for column in columns]
    for way in WAYS:
        cells = (f"{result[way][0]:.2f} ({result[way][1]:.1f}x)" for result in measured)
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"convert-{date.today()}.md"
    path.write_text("\n".join(lines) + "\n")
    print(f"written to {path}")


def header() -> str:
    """Hardware, versions and commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    cpu_lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in cpu_lines if line.startswith("model name")), "?")
    return (
        f"# Label conversion, {date.today()}\n\n{cpu}, {platform.platform()}, Python {platform.python_version()}, "
        f"OpenCV {cv2.__version__}, NumPy {np.__version__}, inflate: {_preproc.inflate}, "
        f"commit {commit.stdout.strip() or 'none'}"
    )


if __name__ == "__main__":
    main()
