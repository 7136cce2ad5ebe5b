"""How a command ends: exit codes, and work that failed."""

WRONG_REQUEST, FAILED, INTERRUPTED = 2, 1, 130


class Failed(RuntimeError):
    """Work that failed for a reason that the message says in full."""


class AlreadyTold(Exception):
    """A wrong request that the first process reports; the others end, or go on with the next job, in silence."""
