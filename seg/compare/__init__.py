"""Runs become levels of an axis, levels are compared with statistics, and a report says what was found. Needs no torch.

    study = read_study("runs", axis="loss")
    found = ...

- `seg.compare.entry`: what one run folder, or one output folder of ``seg-evaluate``, contributes;
- `seg.compare.study`: which runs are compared along which axis, and which are left out for which reason.
"""
