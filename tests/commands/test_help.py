"""``--help``: what a person needs first, and all of it to those who ask.

python -m pytest tests/commands/test_help.py
"""

import re
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
import yaml
from conftest import Script, fails

from seg.commands.cli import conf_dir
from seg.commands.cli.help import print_help
from seg.report.options import parse

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in conf_dir().glob("*.yaml"))


def shown(capsys: pytest.CaptureFixture[str], name: str, *words: str) -> str:
    """What a command prints, without a process of its own."""
    assert print_help(name, words)
    return capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_help_fits_a_screen_or_two(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Purpose, three command lines, every option of the command itself, its groups; and where there is more."""
    text = shown(capsys, name, "--help")
    assert len(text.splitlines()) <= 60
    assert len(re.findall(rf"^  seg-{name} \S", text, re.MULTILINE)) == 3
    (page,) = re.findall(r"^Page: (docs/\S+\.md)$", text, re.MULTILINE)
    assert f"seg-{name} " in (ROOT / page).read_text(encoding="utf-8"), f"conf/{name}.yaml: its page does not show it"
    assert "--help all" in text
    assert "`make docs`" in text


@pytest.mark.parametrize("name", NAMES)
def test_help_names_every_option(name: str, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    """Every key that the configuration has at its top; no key that it has not."""
    text = shown(capsys, name, "--help")
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = hydra.compose(name)
    for key in config:
        assert re.search(rf"^{key}:", text, re.MULTILINE), key
    named = set(re.findall(r"^(\w+):", text.partition("\n\n")[2], re.MULTILINE))
    assert named <= set(config) | {"sweep", "until", "experiment", "model", "box_loss"}
    assert "hydra:" not in text
    assert re.fullmatch(rf"seg-{name} \d+\.\d+\.\d+.*\n", script(f"seg-{name}", "--version").stdout)


@pytest.mark.parametrize("name", NAMES)
def test_all_has_every_line_of_every_file(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = {line.strip() for line in shown(capsys, name, "--help", "all").splitlines()}
    groups = re.findall(r"^  - (\w+):", (conf_dir() / f"{name}.yaml").read_text(), re.MULTILINE)
    files = [conf_dir() / f"{name}.yaml", *(p for g in groups if g != "hydra" for p in (conf_dir() / g).glob("*.yaml"))]
    for path in files:
        lines = [line.strip() for line in parse(path.read_text(encoding="utf-8")).body.splitlines() if line.strip()]
        assert not [line for line in lines if line not in text and not line.startswith("_target_: seg.")], path


def test_common_options_are_those_of_the_files(capsys: pytest.CaptureFixture[str]) -> None:
    """What stands above ``# further options`` in a section or in the chosen file of a group; nothing else of these."""
    text = shown(capsys, "train", "--help")
    common, _, further = text.partition("\nFurther options")
    for line in (
        r"fit\.epochs: 40 +# \w",
        r"loader\.batch: 8 +# \w",
        r"optimizer\.lr: 1\.0e-3 +# \w",
        r"data\.train\.images: \?\?\? +# a folder",
        r"model\.encoder_name: resnet18 +# \w",
        r"labels: null +# label map",
    ):
        assert re.search(f"^{line}", common, re.MULTILINE), line
    assert "fit.steps" not in common
    assert re.search(r"^fit:  # fit\.KEY: epochs, monitor, steps, .*\(16\)$", further, re.MULTILINE)
    assert re.search(r"^max_pixels: 268435456 # larger", further, re.MULTILINE)
    assert "optimizer.lr: 1.0e-2" in shown(capsys, "train", "optimizer=sgd", "--help")
    synthetic = shown(capsys, "train", "data=synthetic", "--help")
    assert re.search(r"^data.train.images: \$\{data.render.destination\}/train/images +# a folder", synthetic, re.M)


def test_help_shows_groups(tmp_path: Path, script: Script) -> None:
    text = script("seg-train", "--help").stdout
    assert "augment: standard  # augment=NAME, one of " in text
    assert re.search("loss: cross_entropy  # loss=NAME, one of boundary, .*focal", text)
    every = script("seg-train", "--help", "all").stdout
    for line in ("  val_share: 0.2  ", "  epochs: 40", "weighted_cross_entropy\n"):
        assert line in every
    (tmp_path / "my" / "loss").mkdir(parents=True)
    (tmp_path / "my" / "loss" / "wing.yaml").write_text("_target_: my.Wing\nwidth: 10.0  # of the wing\n")
    for option in (["--config-dir", "my"], ["--config-dir=my"]):
        text = script("seg-train", *option, "loss=wing", "-h").stdout
        assert "loss: wing  # loss=NAME, one of boundary" in text
        assert "  width: 10.0  # of the wing" in text
        assert "loss.width: 10.0  # of loss=wing\n  of the wing" in script("seg-train", "-h", "width", *option).stdout
    assert "  destination: data/synthetic\n" in script("seg-train", "data=synthetic", "--help").stdout
    assert re.search("inflate: (libdeflate|zlib)", script("seg-preprocess", "--version").stdout)


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("loss", "  loss=focal\n"),
        ("data", "    val_share: 0.2 "),
        ("fit", "  steps: null  "),
        ("sweep", "  test: null "),
        ("sweep", "  sweep=losses\n"),
        ("focal", "loss=focal has the options loss.KEY:\n"),
        ("ce_dice", "and those of cross_entropy@terms.cross_entropy, dice@terms.dice:"),
        ("fit.epochs", "fit.epochs: 40\n  each shows"),
        ("val_share", "data.val_share: 0.2  # of data=folders\n"),
        ("optimizer.lr", "optimizer.lr: 1.0e-2  # of optimizer=sgd\n"),
        ("seeds", "seeds: 3  # of sweep=augment, "),
        ("box_loss", "  box_loss=giou\n"),
        (
            "augment.crop",
            "augment.crop of augment=mosaic, augment=standard, augment=strong has the options augment.crop.",
        ),
        ("augment.crop", "\naugment.crop.multiple: 32\n  encoders need both sides"),
        ("data.val", "data.val.images: null\n  of the validation"),
    ],
)
def test_topics(topic: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert expected in shown(capsys, "train", "--help", topic)
    assert expected in shown(capsys, "train", f"--help={topic}", "--config-dir", "my")


def test_a_topic_is_that_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """A section ends where the next one begins; recipes do not pass for options."""
    assert "rates:" not in shown(capsys, "train", "--help", "fit")
    assert "experiment=" not in shown(capsys, "train", "--help", "lr")
    assert "experiment=" not in shown(capsys, "train", "--help", "augment.crop")
    assert "binary: a mask for each class" in shown(capsys, "preprocess", "--help", "read")
    assert shown(capsys, "train", "--help", "fit", "--help", "seed").startswith("fit:\n")


def test_wrong_topics_are_refused(script: Script) -> None:
    fails(
        script("seg-train", "--help", "los"),
        2,
        "help: expected all, or a group, .* of seg-train, got 'los'; try --help",
    )
    fails(script("seg-train", "--help", "ephocs"), 2, "--help fit.epochs")
    fails(script("seg-train", "--help", "augment.crap"), 2, "got 'augment.crap'; try --help .*augment.crop")
    fails(script("seg-compare", "--help", "xyzzy"), 2, "of seg-compare, got 'xyzzy'; try --help all$")
    fails(script("seg-train", "loss=focl", "--help"), 2, "loss: expected one of .*got 'focl'; did you mean loss=focal?")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['seg-train', '--help']; from seg.commands.train import main; main(); "
        "print(sorted({'torch', 'numpy', 'cv2', 'hydra', 'omegaconf', 'yaml'} & {*sys.modules}), file=sys.stderr)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == "[]\n"


@pytest.mark.parametrize("word", ["fit.epoch=2", "data.fold_=1", "loss.term=x", "scheduler.optimizer=x"])
def test_a_mistyped_option_is_refused_before_torch_is_loaded(word: str) -> None:
    code = (
        f"import sys; sys.argv = ['seg-train', 'data=synthetic', {word!r}]; from seg.commands.train import main\n"
        "try: main()\nexcept SystemExit as end: print(end.code, sorted({'torch', 'cv2', 'scipy'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr.startswith("error: unknown key ")) == ("2 []\n", True), done.stderr


@pytest.mark.parametrize("path", sorted(conf_dir().rglob("*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_first_lines_can_be_read_alone(path: Path) -> None:
    """Of a comment of several lines the first is what ``--help`` shows: it ends with a colon, as the rest explains."""
    for option in parse(path.read_text(encoding="utf-8")).options:
        shown_first = option.common or path.parent == conf_dir()
        assert not shown_first or len(option.comment) < 2 or option.comment[0].endswith(":"), option


@pytest.mark.parametrize("path", sorted(conf_dir().rglob("*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_option_is_overlooked(path: Path) -> None:
    """What reads comments finds every option that a parser of YAML finds, with its default."""

    def leaves(node: object, prefix: str = "") -> set[str]:
        if not isinstance(node, dict) or not node:
            return {prefix.rstrip(".")}
        return {leaf for k, v in node.items() if not str(k).startswith("_") for leaf in leaves(v, f"{prefix}{k}.")}

    data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    wanted = leaves({key: value for key, value in data.items() if key not in ("defaults", "hydra")}) - {""}
    found = {option.key: option for option in parse(path.read_text(encoding="utf-8")).options}
    inline = {key for key, option in found.items() if option.default.startswith("{")}
    missing = {key for key in wanted if key not in found and key.rpartition(".")[0] not in inline}
    if path.parent.name != "hydra":
        assert not missing
