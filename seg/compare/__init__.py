"""Runs become levels of an axis, levels are compared with statistics, and a report says what was found. Needs no torch.

    study = read_study("runs", axis="loss")
    samples = {level.name: Sample(level.seeds, np.stack([entry.counts for entry in level.entries])) for level in ...}
    found = compare(samples, rope=0.005)

- `seg.compare.entry`: what one run folder, or one output folder of ``seg-evaluate``, contributes;
- `seg.compare.study`: which runs are compared along which axis, and which are left out for which reason;
- `seg.compare.statistics`: which level is better, how sure that is, and what more data would settle;
- `seg.compare.sample`: what is compared, and metrics as ratios of sums over images;
- `seg.compare.spread`: the variance that seeds and images give a mean, intervals, verdicts;
- `seg.compare.ranks`: how firm a ranking is, and agreement between rankings;
- `seg.compare.findings`: what is found, as plain data.
"""
