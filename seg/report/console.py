"""The console that everything prints to, and that progress bars live on."""

from rich.console import Console


def plain_console(*, stderr: bool = False) -> Console:
    """Return a console that takes no text for an instruction: a class may be called ``[bold]`` or ``:car:``."""
    return Console(highlight=False, markup=False, emoji=False, stderr=stderr)


console = plain_console()
"""Standard output; quiet in the runs of a sweep, and in processes that leave the talking to the first one."""
