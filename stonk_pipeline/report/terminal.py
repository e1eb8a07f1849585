"""Prints tables on the terminal."""

from rich.console import Console
from rich.table import Table


def print_table(table: Table) -> None:
    """Prints a table; where there is no terminal, as wide as it needs to be."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)
