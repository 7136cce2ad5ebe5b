"""Reports: pages, documents, figures, tables, progress. They know nothing of runs, and need no torch.

What bites here:

- Names in a report are data: figures take them by `seg.report.figure` (``styles_of``, ``labels``), text by
  `seg.report.inline_markup` (``code``); the terminal by `seg.report.console`, because rich takes ``[bold]`` in a class
  name for an instruction, and the terminal an escape character: a line of text is printed by its ``say``.
- The page works without its script, which only enlarges and flips pictures (`seg.report.viewer`). Chromium draws no
  frame for ``--dump-dom``, so that a dialog's ``close`` event never comes there: the script closes by a function of its
  own.
- OpenCV 5 draws lines of thickness 3 five pixels wide.
"""
