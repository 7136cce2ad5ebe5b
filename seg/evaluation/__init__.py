"""Metrics over a set of images: what was found, and the files, tables and plots that say it."""
