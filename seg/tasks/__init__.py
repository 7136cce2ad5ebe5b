"""What is minimised: where model and loss meet, for the segmentation and for further tasks.

What bites here:

- Maps of boxes travel as channels behind the logits: whoever predicts must not flip or scale them.
  ``MeanAveragePrecision`` talks to other processes unless ``sync_on_compute=False``.
- A weighting is a class in `seg.losses.weighting`, a YAML in ``conf/weighting/`` and a reference in
  ``tests/losses/test_weighting.py``; gradient methods (TorchJD) go past DDP's hooks.
"""
