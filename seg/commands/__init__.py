"""The commands, each thin: what a request asks for, objects of it, a library function that does the work.

They are the only place that knows Hydra; what is particular about its command line is in `seg.commands.cli`.

What bites here:

- Hydra refuses ``key=value --config-dir DIR key=value``, values such as ``{}_L.png`` and ``logger=null``:
  `seg.commands.cli.overrides` puts options first and quotes paths and names (a new key for these joins its list); use
  ``logger=none``.
- Hydra turns what a callback raises into a warning: the sweep checks in its first job instead. A merge does not put
  ``???`` over a value: a recipe that needs a file names one.
- ``--help`` prints the comments of ``conf/``: an option without a comment has no documentation.
- What several processes or runs may say, one says: warnings once for a text, a sweep one line a run.
- Trials of ``tune`` are ordinary runs with a fixed seed: a search that was cut off repeats itself, and skips what is
  complete.
"""
