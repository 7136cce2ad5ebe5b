"""Label conversion against its peers: CPU time a file on one thread, every output checked while timing.

python benchmarks/bench_convert.py [ROUNDS]

Each round times every way once on the same files, in the same process, in turn; the table gives medians over the
rounds and ratios to ours. File to file: read, decode, map, encode, write. Inputs are scenes of `seg.synthetic` with
jittered boundaries, written by OpenCV and by Pillow.
"""

import ctypes
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from seg import _preproc
from seg.convert import convert_folder
from seg.synthetic import LABELS, render_scene

SIZES = ((256, 256), (720, 960), (1024, 2048), (3000, 4000))
RESULTS = Path(__file__).parent / "results"
HELPER = Path(__file__).parents[1] / "cpp_preproc"

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


def libpng(files: list[Path], target: Path) -> None:
    """C++ on libpng: decode, table, level 1."""
    names = [(ctypes.c_char_p * len(files))(*map(bytes, paths)) for paths in (files, [target / f.name for f in files])]
    failed = _libpng().convert(*names, len(files), _LUT_RGB.ctypes.data_as(ctypes.c_void_p))
    assert failed == 0


_LUT_RGB = _LUT.reshape(256, 256, 256).transpose(2, 1, 0).ravel()  # red in the lowest byte


@cache
def _libpng() -> ctypes.CDLL:
    """The peer, compiled for this run.

    Raises:
        OSError: no compiler, or libpng's header is missing (Debian: libpng-dev).
    """
    library = Path(tempfile.mkdtemp()) / "libpng_peer.so"
    source = Path(__file__).with_name("libpng_peer.cpp")
    command = [shutil.which("c++") or "c++", "-O3", "-march=native", "-shared", "-fPIC", source, "-lpng", "-o", library]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise OSError(made.stderr.strip().splitlines()[0])
    return ctypes.CDLL(str(library))


def write(path: Path, mask: np.ndarray) -> None:
    cv2.imwrite(str(path), mask)


def whole_run(files: list[Path], target: Path) -> None:
    """All of seg-preprocess but the start of the process: listing, conversion, manifest, counts."""
    summary = convert_folder(files[0].parent, target, LABELS, threads=1)
    assert summary.converted == len(files), summary.failures


WAYS: dict[str, Way] = {
    "seg-preprocess (C++)": ours,
    "convert_folder, with manifest and counts": whole_run,
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


def fresh(target: Path) -> Path:
    """A new folder within: the file system would pay for inodes that were freed a moment ago."""
    return Path(tempfile.mkdtemp(dir=target))


def cpu_ms(way: Way, files: dict[Path, np.ndarray], target: Path) -> float:
    """CPU milliseconds a file; checks every mask, bit for bit, outside the timed part."""
    target = fresh(target)
    start = time.process_time()
    way(list(files), target)
    elapsed = time.process_time() - start
    for path, mask in files.items():
        np.testing.assert_array_equal(cv2.imread(str(target / path.name), cv2.IMREAD_UNCHANGED), mask)
    return 1e3 * elapsed / len(files)


def floor_ms(files: dict[Path, np.ndarray], masks: Path, target: Path, whole: bool) -> float:
    """CPU milliseconds a file of what no converter can do without: read, inflate, write the mask's bytes."""
    target, count = fresh(target), len(files)
    contents = [(masks / file.name).read_bytes() for file in files]
    names = [(ctypes.c_char_p * count)(*map(bytes, paths)) for paths in (files, [target / f.name for f in files])]
    sizes = (ctypes.c_size_t * count)(*map(len, contents))
    pointers = (ctypes.c_char_p * count)(*contents)
    floor = _floor()
    start = time.process_time()
    failed = floor.touch(*names, pointers, sizes, count, whole)
    elapsed = time.process_time() - start
    assert failed == 0
    return 1e3 * elapsed / count


@cache
def _floor() -> ctypes.CDLL:
    """The floor, built for this run with the converter's own flags and inflating library.

    Raises:
        OSError: it does not compile.
    """
    build = Path(tempfile.mkdtemp())
    cmake = [sys.executable, "-m", "cmake"]
    for command in ([*cmake, "-S", HELPER, "-B", build, "-DSEG_BENCH=ON"], [*cmake, "--build", build, "-t", "floor"]):
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise OSError(made.stdout + made.stderr)
    return ctypes.CDLL(str(build / "floor.so"))


def wall_ms(files: dict[Path, np.ndarray], target: Path, threads: int) -> float:
    """Wall milliseconds a file on some threads."""
    target = fresh(target)
    table = _preproc.Table(LABELS.colors, LABELS.values)
    start = time.perf_counter()
    for result in _preproc.convert_files(((f, target / f.name) for f in files), table, threads=threads):
        assert result.status == "converted", result.reason
    return 1e3 * (time.perf_counter() - start) / len(files)


def kilobytes(files: dict[Path, np.ndarray], target: Path) -> dict[str, float]:
    """Mean size of a mask: ours, and libpng's at level 6 (through OpenCV) without filter and with its own choice."""
    ours(list(files), target)
    level_6 = [cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
    sizes = {"size of ours": [(target / file.name).stat().st_size for file in files]}
    for name, chosen in (("no filter", cv2.IMWRITE_PNG_FILTER_NONE), ("all filters", cv2.IMWRITE_PNG_ALL_FILTERS)):
        options = [*level_6, cv2.IMWRITE_PNG_FILTER, chosen]
        sizes[f"size of libpng level 6, {name}"] = [len(cv2.imencode(".png", m, options)[1]) for m in files.values()]
    return {name: statistics.mean(values) / 1e3 for name, values in sizes.items()}


Column = dict[str, tuple[float, float]]


def measure(height: int, width: int, writer: str, rounds: int) -> tuple[Column, Column, dict[str, float]]:
    """Median CPU ms and median ratio to ours of each way; the same of the floor and of threads; sizes."""
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name) / "source", Path(name) / "target"
        source.mkdir()
        target.mkdir()
        count = max(6, min(100, 20_000_000 // (height * width)))  # a worker's memory is new for its first file only
        files = make_files(source, height, width, count, writer)
        ways, others = [], []
        for _ in range(rounds + 1):
            others.append(one_round(files, target))
            ways.append({way: cpu_ms(run, files, target) for way, run in WAYS.items()})
        return medians(ways[1:], next(iter(WAYS))), medians(others[1:], OURS_WALL), kilobytes(files, target)


OURS_WALL = "wall ms, 1 thread"


def one_round(files: dict[Path, np.ndarray], target: Path) -> dict[str, float]:
    """The floor and the wall times, once."""
    masks = fresh(target)
    ours(list(files), masks)
    row = {"ours, CPU ms": cpu_ms(ours, files, target)}
    row["floor: read + inflate + write a new file"] = floor_ms(files, masks, target, whole=False)
    row["floor through a temporary file + rename"] = floor_ms(files, masks, target, whole=True)
    return {**row, **{f"wall ms, {n} thread{'s' * (n > 1)}": wall_ms(files, target, n) for n in (1, 2)}}


def medians(table: list[dict[str, float]], reference: str) -> Column:
    """Of each key: the median, and the median ratio to the reference."""
    return {
        key: (
            statistics.median(row[key] for row in table),
            statistics.median(row[key] / row[reference] for row in table),
        )
        for key in table[0]
    }


def main() -> None:
    """Print the tables and write them to ``benchmarks/results/``."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    cv2.setNumThreads(1)
    try:
        _libpng()
        WAYS["C++ on libpng + 24-bit LUT"] = libpng
    except OSError as error:
        print(f"without the libpng peer: {error}")
    columns = [(h, w, writer) for h, w in SIZES for writer in ("cv2", "Pillow")]
    measured = [measure(*column, rounds) for column in columns]
    head = ["| | " + " | ".join(f"{w}x{h}, {writer}" for h, w, writer in columns) + " |", "|---" * 9 + "|"]
    lines = [header(), "", "CPU ms a file (ratio to ours), one thread, file to file, medians", "", *head]
    lines += [row(way, [f"{m[0][way][0]:.3f} ({m[0][way][1]:.1f}x)" for m in measured]) for way in WAYS]
    lines += [
        "",
        "Floor (CPU ms), share of it reached, wall time on threads (ms a file), size of a mask (KB)",
        "",
        *head,
    ]
    lines += [row(key, [f"{m[1][key][0]:.3f}" for m in measured]) for key in measured[0][1]]
    floor = "floor: read + inflate + write a new file"
    lines.append(row("floor / ours", [f"{m[1][floor][0] / m[1]['ours, CPU ms'][0]:.0%}" for m in measured]))
    lines += [row(key, [f"{m[2][key]:.1f}" for m in measured]) for key in measured[0][2]]
    print("\n".join(lines))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"convert-{datetime.now():%Y-%m-%dT%H%M}.md"  # notes are added by hand: never over them
    path.write_text("\n".join(lines) + "\n")
    print(f"written to {path}")


def row(name: str, cells: list[str]) -> str:
    """One line of a table."""
    return f"| {name} | " + " | ".join(cells) + " |"


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
