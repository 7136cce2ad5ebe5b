"""Pairs of images and masks: found, checked, split, drawn into batches."""
