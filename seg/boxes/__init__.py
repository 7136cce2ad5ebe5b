"""Boxes of objects, learnt from masks."""
