"""The commands, each thin: what a request asks for, objects of it, a library function that does the work.

They are the only place that knows Hydra; what is particular about its command line is in `seg.commands.cli`.

To add one, such as ``seg-count``: its options in ``conf/count.yaml``, whose comments are what ``--help`` prints::

    # Count the images of a folder.
    #   seg-count images=photos destination=counted
    # Page: docs/howto/count.md
    defaults:
      - hydra: quiet
      - _self_

    images: ???       # folder of images, searched with its subfolders
    destination: ???  # folder for count.csv

what it does in ``seg/commands/count.py``::

    \"\"\"Count the images of a folder.

    seg-count images=DIR destination=DIR
    \"\"\"

    import logging
    from typing import Any

    from seg.commands.cli import plain, run

    log = logging.getLogger("seg")


    def main() -> None:
        run(count, "count")


    def count(config: Any) -> None:
        from seg.data.pairs import list_images, one  # here, so that --help is quick
        from seg.data.pairs.folders import check_apart
        from seg.files import make_folder, write_csv

        cfg = plain(config)
        folder = one(cfg["images"], "images")  # one folder, no list
        check_apart(cfg["destination"], [folder], "destination")
        images = list_images(folder)
        destination = make_folder(cfg["destination"], "destination")  # last: what is refused leaves none behind
        write_csv(destination / "count.csv", ("images",), [(len(images),)])
        log.info(f"{len(images)} images; written to {destination}: count.csv")

and ``seg-count = "seg.commands.count:main"`` under ``[project.scripts]`` of ``pyproject.toml``, after which ``make
setup`` installs it. The work belongs into a function of the room that it is about, which takes plain arguments. A wrong
option is a ``ValueError`` and exit code 2, `seg.files.errors.Failed` is 1. ``tests/commands/test_contract.py`` enrols
every entry. A command of your own, outside the repository, is a script that calls such functions.

What bites here:

- Hydra refuses ``key=value --config-dir DIR key=value``, values such as ``{}_L.png`` and ``logger=null``:
  `seg.commands.cli.overrides` puts options first, quotes paths and names (a new key for these joins its list), and
  makes ``none`` of null. It takes any key from a user's YAML: `seg.commands.cli.keys` refuses those that no option
  has, and values of another kind than the default.
- Hydra turns what a callback raises into a warning: the sweep checks in its first job instead. A merge does not put
  ``???`` over a value: a recipe that needs a file names one.
- ``--help`` prints the comments of ``conf/``: an option without a comment has no documentation. In at most 60 lines,
  with three command lines and the page that shows the command:
  what stands above a line ``# further options`` comes first, and the first line of a longer comment, which ends in a
  colon, stands for it. See `seg.report.options`.
- What several processes or runs may say, one says: warnings once for a text, a sweep one line a run.
- Trials of ``tune`` are ordinary runs with a fixed seed: a search that was cut off repeats itself, and skips what is
  complete.
"""

import os
import signal
import sys
from typing import Any


def end_at_once(*_: Any) -> None:
    """End by Ctrl-C while modules are still loading, which would answer it with pages of their lines."""
    os.write(2, b"interrupted\n")
    os._exit(130)


# Here, because what runs a command begins by importing this; `seg.commands.cli` goes back to the usual way. A process
# that a command spawns listens in its own way.
if (
    (sys.argv[:1] == ["-m"] or os.path.basename((sys.argv or [""])[0]).startswith("seg-"))  # noqa: PTH119
    and "multiprocessing.spawn" not in sys.modules
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, end_at_once)
