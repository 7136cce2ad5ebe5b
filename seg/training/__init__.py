"""Training: `fit` moves a `State` on, as `FitOptions` say.

A run that was interrupted and resumed equals one that was not, to the bit on the CPU: `State` holds everything that the
next step depends on.

What bites here:

- `torch.utils.data.DataLoader.__iter__` draws a base seed from the global generator: `seg.data.batches.make_loader`
  gives it a generator of its own, or resuming would not be exact. The noise of a step follows from seed, process and
  step alone (`State.begin_step` seeds the global generator). What must survive a resume joins `State.parts`.
- The order in `seg.commands.build` matters: precision and folder are settled before the processes start, data are read
  by the first process and broadcast, the folder is opened last, so that a request that is refused leaves none behind.
- The last validation is the judgement of the run, so that no image is predicted twice.
- Nothing is exchanged between processes without gradients: their validation batches differ in number. What all of them
  would report, `seg.training.processes.fail_together` lets one report. What processes share has a case in
  `tests/training/test_distributed.py`: two processes against one.
- Python's signal handlers are not reached while a process waits in C: `seg.training.signals` listens on a thread. Gloo
  needs its process group destroyed, or it aborts the process at exit now and then.
- A restructuring must leave ``scripts/record_run.py FOLDER`` "equal to the bit"; `tests/training/test_loop.py` compares
  interrupted and uninterrupted runs bit for bit.
- W&B in forked processes shares a folder that the first one removes: its tests run in processes of their own.
"""

from seg.training.loop import Track, Watcher, fit, train_step
from seg.training.options import FitOptions
from seg.training.state import Position, State

__all__ = ["FitOptions", "Position", "State", "Track", "Watcher", "fit", "train_step"]
