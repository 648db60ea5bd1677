"""``python -m benchmarks [--only NAME …] [--json FILE]``: measure, print a table, write the figures."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.processes import ChildFailed
from benchmarks.registry import Measured, load_figures
from benchmarks.stage import ServiceMissing, stage


def main(
    only: Annotated[list[str] | None, typer.Option(help="Measure this figure; may be given again.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    port: Annotated[int, typer.Option(help="First of the ports that may be used.")] = 21600,
    profile: Annotated[Path | None, typer.Option(help="Profile the measured servers into this directory.")] = None,
) -> None:
    """Measure the figures that are named, or all. A figure that falls short is reported and is no error."""
    figures = load_figures()
    unknown = sorted(set(only or ()) - set(figures))
    if unknown:
        raise typer.BadParameter(f"no figure is called {', '.join(unknown)}; there are {', '.join(figures)}")
    found: list[Measured] = []
    began = time.monotonic()
    console = Console(width=None if sys.stdout.isatty() else 140)
    try:
        with stage(port, profile_to=profile) as here:
            for name in only or figures:
                with console.status(f"measuring {name}"):
                    found.append(figures[name](here))
                console.print(_line(found[-1]))
    except (ServiceMissing, ChildFailed) as missing:
        typer.echo(str(missing), err=True)
        raise typer.Exit(2) from None
    console.print(_table(found))
    console.print(f"{time.monotonic() - began:.0f} s")
    if json is not None:
        json.write_bytes(orjson.dumps([one.plain() for one in found], option=orjson.OPT_INDENT_2) + b"\n")


def _line(one: Measured) -> str:
    return f"{one.name}: {one.value:,.0f} {one.unit}, {one.ratio:.3f} × {one.of}"


def _table(found: list[Measured]) -> Table:
    table = Table(show_lines=True)
    for heading in ("figure", "value", "ratio", "target", "holds", "beside it"):
        table.add_column(heading, justify="right" if heading in ("value", "ratio") else "left")
    for one in found:
        beside = "\n".join((f"of: {one.of}", *one.details))
        holds = "[green]yes[/green]" if one.holds else "[red]no[/red]"
        table.add_row(one.name, f"{one.value:,.0f}\n{one.unit}", f"{one.ratio:.3f}", one.target, holds, beside)
    return table


if __name__ == "__main__":
    typer.run(main)
