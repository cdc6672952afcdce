"""What is printed and how: in colour and to its width on a terminal, plain and whole elsewhere; knows no command."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# What is not a terminal has no width: a table that is piped must not be cut.
PIPE_COLUMNS = 240


def console(*, stderr: bool = False) -> Console:
    """Standard output, or standard error."""
    from rich.console import Console

    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=PIPE_COLUMNS)


def say(text: str, *, stderr: bool = False) -> None:
    """Print a line as it is, however long."""
    console(stderr=stderr).print(text, markup=False, highlight=False, soft_wrap=True)
