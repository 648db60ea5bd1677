"""EduRise's command line and only composition root: it alone imports every package and joins adapters to what uses
them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from typing import Annotated

import orjson
import structlog
import typer
import uvloop
from argon2 import PasswordHasher
from tornado.netutil import bind_sockets

from actors import console
from actors.console import settings_of_this_process as _settings
from actors.registry import load_actors
from actors.relay import Relay
from actors.runtime import Runtime
from actors.schedule import Schedule, load_jobs
from actors.tutor import TutorLoop
from edurise.adapters.affinity import AFFINITY, CannotPin
from edurise.adapters.bells import RedisBells
from edurise.adapters.checks import faults_of
from edurise.adapters.local_transport import LocalTransport
from edurise.adapters.migrations import migrate as upgrade
from edurise.adapters.provision import RolePasswords, provision, provision_sql
from edurise.adapters.rabbit import RabbitTransport
from edurise.adapters.refusals import Refused, refusals
from edurise.adapters.resources import Resources, resources
from edurise.ai.service import QUESTIONS, STOPS
from edurise.config import Settings
from edurise.container import Container, build
from edurise.identity.watch import BELL as REVOCATIONS
from edurise.identity.watch import read_revocations, watch_revocations
from edurise.outbox import BELL as OUTBOX
from edurise.platform.school import DEMO_PEOPLE, SchoolInUse, seed_demo
from edurise.ports import Transport
from handlers.app import ALIASES, ROUTES, VERSION, WebApplication, serve
from handlers.observing import Observer
from handlers.openapi import document
from handlers.ws.hub import Hub

cli = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
cli.add_typer(console.letters, name="deadletters")
cli.add_typer(console.kept, name="files")
cli.add_typer(console.own, name="privacy")
cli.add_typer(console.signing, name="keys")
LOG = structlog.get_logger("edurise")
ALL = ("web", "worker", "relay", "scheduler")


async def run(
    settings: Settings,
    found: Resources,
    parts: tuple[str, ...],
    listening: list[socket.socket],
    announce: Callable[[], None],
) -> None:
    """Run the named parts of EduRise on this loop until SIGINT or SIGTERM, then drain."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    c = build(settings, found.urls, found.redis_url)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(c.close)
        bells = RedisBells(c.announcer, [OUTBOX, REVOCATIONS, QUESTIONS, STOPS])
        bells.start()
        stack.push_async_callback(bells.close)
        background: list[asyncio.Task[None]] = []
        stack.push_async_callback(_end, background)
        if {"worker", "relay"} & set(parts):
            transport = _transport(settings, parts)
            stack.push_async_callback(transport.close)
            registry = load_actors()
            if "worker" in parts:
                background.append(asyncio.create_task(Runtime(c, registry).run(transport), name="worker"))
                background.append(asyncio.create_task(TutorLoop(c, bells).run(), name="tutor"))
            if "relay" in parts:
                background.append(
                    asyncio.create_task(Relay(c, transport, bells, registry.wanted()).run(), name="relay")
                )
        if "scheduler" in parts:
            background.append(asyncio.create_task(Schedule(c, load_jobs()).run(), name="scheduler"))
        if "web" in parts:
            await stack.enter_async_context(_web(c, bells, listening))
        announce()
        await _until(stopping, background)
        LOG.info("draining", parts=parts)
        await _end(background)


async def _until(stopping: asyncio.Event, background: list[asyncio.Task[None]]) -> None:
    """Wait for the signal; a background part that ends before it is a fault and is raised."""
    watch = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait([watch, *background], return_when=asyncio.FIRST_COMPLETED)
    watch.cancel()
    for task in done - {watch}:
        task.result()


async def _end(background: list[asyncio.Task[None]]) -> None:
    """Cancel the parts and let each finish what is under way."""
    for task in background:
        task.cancel()
    for outcome in await asyncio.gather(*background, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


@contextlib.asynccontextmanager
async def _web(c: Container, bells: RedisBells, listening: list[socket.socket]) -> AsyncIterator[None]:
    """Serve; on leaving stop accepting, send the sockets away and let the requests under way finish."""
    await read_revocations(c.db, c.tokens, c.settings.secret_key)
    observer = Observer(c.clock)
    hub = Hub(c)
    application = WebApplication(c, observer, hub)
    server = serve(application, c.settings.body_limit_bytes)
    await hub.start()
    watch = asyncio.create_task(
        watch_revocations(c.db, c.tokens, c.settings.secret_key, bells, hub.sweep), name="revocations"
    )
    server.add_sockets(listening)
    # What is imported and built by now stays: the collector need not walk it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    try:
        yield
    finally:
        server.stop()
        await application.drain(c.settings.drain_s)
        await hub.close()
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await server.close_all_connections()
        observer.flush()


def _transport(settings: Settings, parts: tuple[str, ...]) -> Transport:
    if settings.amqp_url:
        return RabbitTransport(
            settings.amqp_url, settings.amqp_prefix, prefetch=settings.worker_prefetch, drain_s=settings.drain_s
        )
    if {"worker", "relay"} <= set(parts):
        return LocalTransport(concurrency=settings.worker_prefetch, drain_s=settings.drain_s)
    raise Refused("A worker and a relay in separate processes need RabbitMQ: set AMQP_URL, or run `python run.py all`.")


def start(settings: Settings, parts: tuple[str, ...], announce: Callable[[], None], *, prepare: bool = False) -> None:
    """The whole life of a serving process. ``prepare`` migrates and loads the demo school first."""
    listening = _bound(settings) if "web" in parts else []
    found = resources(settings)
    try:
        _pin(settings)
        if prepare:
            upgrade(found.owner_url)
            with contextlib.suppress(SchoolInUse):  # a database with people of its own is left as it is
                seed_demo(found.owner_url, _hasher(settings))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings, found, parts, listening, announce))
    finally:
        found.stop()


def _pin(settings: Settings) -> None:
    """Stay on the core that the settings name. Embedded servers are started before, for they would stay there too."""
    try:
        if settings.cpu is not None:
            AFFINITY.pin(settings.cpu)
    except CannotPin as wrong:
        raise Refused(f"EDU_CPU: {wrong}.") from None


def _bound(settings: Settings) -> list[socket.socket]:
    """The listening sockets, before anything else is started: a taken port costs nobody a database."""
    try:
        return bind_sockets(settings.port, settings.host, reuse_port=False)
    except OSError as taken:
        reason = taken.strerror or str(taken)
        raise Refused(
            f"Port {settings.port} on {settings.host} cannot be used ({reason}); set PORT to a free one."
        ) from None


def _hasher(settings: Settings) -> Callable[[str], str]:
    return PasswordHasher(settings.argon2_time_cost, settings.argon2_memory_kib, settings.argon2_parallelism).hash


def _serving(part: str) -> None:
    with refusals():
        settings = _settings()
        start(settings, (part,), lambda: typer.echo(f"EduRise {part} {VERSION} is up", err=True))


@cli.command("all")
def everything() -> None:
    """Everything in one process, on embedded servers where none are configured: the development mode."""
    with refusals():
        settings = _settings()
        if settings.production:
            raise Refused(
                "`all` is for development; in production run web, worker, relay and scheduler as separate processes."
            )
        start(settings, ALL, lambda: _welcome(settings), prepare=True)


def _welcome(settings: Settings) -> None:
    base = f"http://{settings.host}:{settings.port}"
    lines = [f"EduRise is at {base}", f"API documentation at {base}/docs", "", "Demo log-ins:"]
    lines += [f"  {one.role:<38} {one.email:<32} {one.password}" for one in DEMO_PEOPLE]
    if not settings.stripe_secret_key:
        lines += ["", "Payments go to the sandbox gateway: no money moves."]
    if not settings.openai_api_key:
        lines += ["The tutor only quotes the courses: no language model is connected."]
    if not settings.smtp_url:
        lines += [f"E-mail is written to {settings.data_dir / 'mail'}."]
    typer.echo("\n".join([*lines, "", "Ctrl-C stops it."]))


@cli.command()
def web() -> None:
    """Serve HTTP and WebSocket."""
    _serving("web")


@cli.command()
def worker() -> None:
    """Run the actors, and answer what the tutor is asked."""
    _serving("worker")


@cli.command()
def relay() -> None:
    """Carry events from the outbox to the actors."""
    _serving("relay")


@cli.command()
def scheduler() -> None:
    """Run the periodic jobs; of several schedulers one leads."""
    _serving("scheduler")


@cli.command()
def migrate() -> None:
    """Bring the schema to the newest revision, as the owner role."""
    with refusals():
        found = resources(_settings(), redis=False)
        try:
            upgrade(found.owner_url)
        finally:
            found.stop()


@cli.command()
def demo() -> None:
    """Load the demo school; does nothing where it is loaded already. Refused in production."""
    with refusals():
        settings = _settings()
        if settings.production:
            raise Refused("The demo school has known passwords and is not loaded in production.")
        found = resources(settings, redis=False)
        try:
            typer.echo("loaded" if seed_demo(found.owner_url, _hasher(settings)) else "was loaded already")
        finally:
            found.stop()


@cli.command()
def check() -> None:
    """Name each fault of settings, roles and connections; exit code 1 if there is one."""
    with refusals():
        faults = faults_of(_settings())
        for fault in faults:
            typer.echo(fault, err=True)
        if faults:
            raise typer.Exit(1)
        typer.echo("no fault found")


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document; needs no database."""
    sys.stdout.buffer.write(orjson.dumps(document(ROUTES, ALIASES, VERSION), option=orjson.OPT_INDENT_2) + b"\n")


@cli.command("provision")
def provision_roles(
    admin_url: Annotated[
        str, typer.Option(help="postgresql+psycopg2:// URL of a role that may create roles and databases.")
    ] = "",
    database: Annotated[str, typer.Option(help="Name of the database.")] = "edurise",
    show: Annotated[bool, typer.Option("--print", help="Print the statements and run nothing.")] = False,
    with_passwords: Annotated[
        bool, typer.Option("--with-passwords", help="Give the roles the passwords of the three DATABASE_ URLs.")
    ] = False,
) -> None:
    """Create the roles and the database, as the administrator of --admin-url or DATABASE_ADMIN_URL; print the
    statements where neither is given. Passwords stay as they are unless --with-passwords is."""
    with refusals():
        admin = admin_url or (None if show else _settings().database_admin_url)
        if show or not admin:
            typer.echo(provision_sql(database))
            return
        made = provision(admin, database, RolePasswords.named_in(_settings()) if with_passwords else None)
        named = f"DATABASE_URL={made.application}\nDATABASE_OWNER_URL={made.owner}\nDATABASE_SYSTEM_URL={made.system}"
        typer.echo(f"{database} is provisioned" if with_passwords else named)


if __name__ == "__main__":
    cli()
