"""What keeps a process from starting, told to whoever started it: one sentence and an exit code, no traceback."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer
from sqlalchemy.exc import OperationalError, ProgrammingError

from edurise.adapters.embedded.process import EmbeddedError
from edurise.adapters.provision import ProvisionError
from edurise.config import SettingsError
from edurise.errors import NotFound, Overloaded
from edurise.sealing import SealBroken


class Refused(Exception):
    """The process cannot start; the text is one sentence for whoever started it."""


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """What keeps a process from starting becomes one sentence and exit code 2, without a traceback."""
    try:
        yield
    except SettingsError as wrong:
        for name, sentences in sorted(wrong.faults.items()):
            typer.echo(f"{name}: {' '.join(sentences)}", err=True)
        raise typer.Exit(2) from None
    except (Refused, EmbeddedError, ProvisionError) as refused:
        typer.echo(str(refused), err=True)
        raise typer.Exit(2) from None
    except SealBroken as broken:
        typer.echo(f"Secrets of the database do not open: {broken}.", err=True)
        raise typer.Exit(2) from None
    except NotFound:
        typer.echo("There is no such event.", err=True)
        raise typer.Exit(1) from None
    except Overloaded:
        typer.echo("The database does not answer; run `python run.py check`.", err=True)
        raise typer.Exit(2) from None
    except OperationalError as refused:
        reason = str(refused.orig).strip().splitlines()[0]
        typer.echo(f"The database does not let this process in ({reason}); run `python run.py check`.", err=True)
        raise typer.Exit(2) from None
    except ProgrammingError as refused:
        reason = str(refused.orig).strip().splitlines()[0]
        typer.echo(f"The database is not as this version needs it ({reason}); run `python run.py migrate`.", err=True)
        raise typer.Exit(2) from None
