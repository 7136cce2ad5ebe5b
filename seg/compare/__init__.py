"""Runs become levels of an axis, levels are compared with statistics, and a report shows the result. Needs no torch.

    study = read_study("runs", axis="loss")
    result = compare({level.name: level.sample() for level in study.levels}, rope=0.005)
    write_report(Path("comparison"), study, result, reference="cross_entropy")

- `seg.compare.evidence`: what one run folder, or one output folder of ``seg-evaluate``, contributes;
- `seg.compare.study`: which runs are compared along which axis, and which are left out for which reason;
- `seg.compare.statistics`: which level is better, how sure that is, and what more data would settle;
- `seg.compare.scores`: what is compared, and metrics as ratios of sums over images;
- `seg.compare.pairs`: pairs of levels, their verdicts, at one look or at several;
- `seg.compare.looks`, `rounds`: what each look at a sweep may claim, and which levels get another seed;
- `seg.compare.variance`: the variance that seeds and images give a mean, intervals, verdicts;
- `seg.compare.folds`: the folds of a cross validation as one run, and what they do not show;
- `seg.compare.ensembles`, `together`: evaluations of the runs of a level as one model, and what that gains;
- `seg.compare.scatter`: how far seeds move each level, learnt from all of them;
- `seg.compare.multiplicity`: which of many verdicts hold together;
- `seg.compare.slices`, `by_attribute`: the same on parts of the images, and how it is told;
- `seg.compare.brackets`: groups of levels that are not told apart;
- `seg.compare.ranks`: how firm a ranking is, and agreement between rankings;
- `seg.compare.findings`: the result, as plain data;
- `seg.compare.results`, `answer`, `tables`, `cost`, `plots`, `gallery`, `about`, `report`: tables for scripts, words,
  tables for readers, pictures, the page of them all, which `seg.report.document` writes as Markdown and HTML;
- `seg.report.figure`, `inline_markup`: what names look like in all pictures, and in all text.

What bites here:

- Folders alone are read, by `seg.runs`. What must be known of a run, the run writes at its end; runs of older versions
  lack it, and the report leaves that figure out. What is used of a run is checked in `seg.compare.evidence`, so that a
  damaged one is left out by name.
- After a change of intervals or verdicts: ``benchmarks/bench_statistics.py``, also with ``--verdicts`` and ``--ranks``,
  ``bench_scatter.py``, ``bench_settled.py``, ``bench_worlds.py``, ``bench_folds.py``, and the slow tests of
  ``tests/compare/test_coverage.py``, ``test_looks.py`` and ``test_worlds.py``. A percentile bootstrap over images and
  seeds is too narrow, and so are Satterthwaite's degrees of freedom for few seeds. `seg.compare.scatter.CAREFUL` is
  calibrated for the prior beside it: change one, and the other is wrong.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seg.compare.statistics import compare

__all__ = ["compare"]


def __getattr__(name: str) -> Any:
    """Load the statistics when they are asked for: with them comes scipy, for which the first words need not wait."""
    if name != "compare":
        raise AttributeError(f"module 'seg.compare' has no attribute {name!r}")
    from seg.compare.statistics import compare

    return compare
