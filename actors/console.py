"""What an operator asks on the command line beside the running processes. Each command builds its own container."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar
from uuid import UUID

import orjson
import typer
import uvloop

from actors import deadletters as dead
from actors import storekeeping
from edurise.adapters.logs import configure_logs
from edurise.adapters.refusals import refusals
from edurise.adapters.resources import resources
from edurise.config import Settings, read_settings
from edurise.container import Container, build
from edurise.identity import keys
from edurise.identity.flows import resealing
from edurise.privacy import erasing, exports

letters = typer.Typer(no_args_is_help=True, help="Deliveries that were given up.")
kept = typer.Typer(no_args_is_help=True, help="The bytes of files.")
own = typer.Typer(no_args_is_help=True, help="The data of one person.")
signing = typer.Typer(no_args_is_help=True, help="The keys that sign access tokens, and those that seal secrets.")
T = TypeVar("T")


def settings_of_this_process() -> Settings:
    """Read the settings and write logs as they say."""
    settings = read_settings()
    configure_logs(settings.log_level)
    return settings


def _asked(work: Callable[[Container], Coroutine[Any, Any, T]]) -> T:
    """Run one question of the command line with a container of its own."""
    with refusals():
        settings = settings_of_this_process()
        found = resources(settings)

        async def ask() -> T:
            c = build(settings, found.urls, found.redis_url)
            try:
                return await work(c)
            finally:
                await c.close()

        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(ask())
        finally:
            found.stop()


def _print(value: Any) -> None:
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())


@letters.command("list")
def list_dead(limit: int = 100) -> None:
    """The newest dead deliveries. Looking never destroys."""
    _print(_asked(lambda c: dead.listed(c, limit)))


@letters.command("show")
def show_dead(event: UUID) -> None:
    """One event and what became of each of its deliveries."""
    _print(_asked(lambda c: dead.show(c, event)))


@letters.command("replay")
def replay_dead(
    event: Annotated[UUID | None, typer.Argument(help="Without one: every dead delivery.")] = None,
    actor: Annotated[str, typer.Option(help="Only this actor.")] = "",
) -> None:
    """Send dead deliveries again, with all their attempts."""
    typer.echo(f"{_asked(lambda c: dead.replay(c, event, actor or None))} sent again")


@kept.command("verify")
def verify_files(
    organization: Annotated[str, typer.Option(help="Only the files of this subdomain.")] = "",
    store: Annotated[str, typer.Option(help="Only this store: local or s3.")] = "",
    orphans: Annotated[bool, typer.Option("--orphans", help="Also list objects that no file refers to.")] = False,
) -> None:
    """Read every object and compare size and SHA-256; one line for each fault, exit code 1 if there is one."""
    if not _asked(lambda c: storekeeping.verify(c, organization, store, orphans=orphans)):
        raise typer.Exit(1)


@kept.command("move")
def move_files(
    organization: Annotated[str, typer.Argument(help="The organization's subdomain.")],
    to: Annotated[str, typer.Option(help="The store: local or s3.")],
    keep_old: Annotated[float, typer.Option(min=0, help="Seconds for which old objects stay.")] = storekeeping.KEPT_S,
) -> None:
    """Move an organization's files to another store while they are used. May be broken off and repeated; exit code 1
    if a file could not be moved."""
    if not _asked(lambda c: storekeeping.move(c, organization, to, keep_old)):
        raise typer.Exit(1)


@signing.command("reseal")
def reseal_secrets() -> None:
    """Seal every stored secret anew with the first of EDU_SEALING_KEYS; the older keys may go then. May be broken off
    and repeated; exit code 1, and a line for each, if there are secrets that no key opens."""
    renewal = _asked(resealing.everything)
    typer.echo(f"{renewal.count} sealed with another key, and now with the first")
    for one in renewal.broken:
        typer.echo(one, err=True)
    if renewal.broken:
        raise typer.Exit(1)


@signing.command("rotate")
def rotate_keys() -> None:
    """Sign access tokens with a new key from a few seconds on; tokens of the old one stay good, and nobody is logged
    out."""
    kid = _asked(lambda c: c.db.system(keys.rotate, c.settings.secret_key))
    typer.echo(f"{kid} signs in {keys.LEARNED_WITHIN.seconds} s")


@own.command("export")
def export_person(email: str) -> None:
    """Write everything that is stored of the person of an address, as JSON."""
    typer.echo(_known(_asked(lambda c: c.db.system(exports.of_address, email))))


@own.command("erase")
def erase_person(
    email: str, now: Annotated[bool, typer.Option("--now", help="There is no grace and no way back.")] = False
) -> None:
    """Erase the person of an address, and print what became of each table."""
    if not now:
        raise typer.BadParameter("erasing cannot be undone: say so with --now")
    _print(_known(_asked(lambda c: c.db.system(erasing.of_address, email, c.vault))))


def _known(found: T | None) -> T:
    if found is None:
        typer.echo("nobody has this address", err=True)
        raise typer.Exit(1)
    return found
