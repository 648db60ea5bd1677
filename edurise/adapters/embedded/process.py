"""What both embedded servers ask of the operating system: one owner per directory, and no server that outlives it.

The lock of a directory is inherited by the server that is started under it. It is therefore free exactly when neither
the process that started the server nor the server itself is alive, and whoever takes it finds nothing running there.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

SOCKET_PATH_LIMIT = 107  # bytes: sockaddr_un.sun_path holds 108 with the closing NUL (unix(7))
POLL_SECONDS = 0.02
JOIN_SECONDS = 120.0  # another process may be busy with the crash recovery of a large database
GRACE_SECONDS = 30.0
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
SERVER_ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


class EmbeddedError(RuntimeError):
    """An embedded server cannot run here; the message is one sentence and names the variable that replaces it."""


@dataclass(frozen=True)
class Account:
    """The unprivileged account that runs a server which refuses to run as root."""

    name: str
    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """Return the account for a server's process: None for an ordinary user, who runs it as themselves.

    Raises EmbeddedError when root finds neither ``postgres`` nor ``nobody``; no account is ever created.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        "PostgreSQL refuses to run as root and neither account postgres nor nobody exists: "
        "run as an ordinary user or set DATABASE_URL."
    )


def reachable(path: Path, account: Account, access: str) -> bool:
    """Return whether the account may read (``r``), write (``w``) or enter (``x``) the path, its parents included."""
    command = ["/usr/bin/env", "test", f"-{access}", str(path)]
    done = subprocess.run(command, check=False, user=account.uid, group=account.gid, extra_groups=[], cwd="/")
    return done.returncode == 0


def private_directory(path: Path, mode: int = 0o700) -> Path:
    """Create the directory, or tighten one that is there, and return its absolute path.

    Raises EmbeddedError if somebody else owns it or it is a link: what lies in it would not be ours to trust.
    """
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=mode)
    status = path.lstat()
    if path.is_symlink() or not path.is_dir() or status.st_uid != os.geteuid():
        raise EmbeddedError(f"{path} is not a directory of this user: move it away or set EDU_DATA_DIR.")
    path.chmod(mode)
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read; readers see the old content or all of the new one."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # created 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


def socket_directory(preferred: Path, name: str) -> Path:
    """Return ``preferred`` if a socket called ``name`` fits there, else a new short directory of mode 0700."""
    if len(os.fsencode(preferred / name)) <= SOCKET_PATH_LIMIT:
        return preferred
    return Path(tempfile.mkdtemp(prefix="edurise-", dir="/tmp"))  # short, and 0700; TMPDIR may be long


class DirectoryLock:
    """The right to run the server of one directory, an ``flock`` that ends with the last process that holds it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def acquire(self) -> bool:
        """Take the lock without waiting; return whether it is ours."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def fileno(self) -> int:
        """Return the descriptor, which a started server inherits."""
        return self._descriptor

    def close(self) -> None:
        """Give up this process's share of the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Server:
    """A server process that this process started and has to stop."""

    def __init__(self, process: subprocess.Popen[bytes], lock: DirectoryLock, log: Path) -> None:
        self._process = process
        self._lock = lock
        self._owner = os.getpid()
        self.log = log
        self.temporary: Path | None = None
        """A directory outside the data that goes when the server has ended."""
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        """Return the process number."""
        return self._process.pid

    def alive(self) -> bool:
        """Return whether the process still runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End the server in good order and wait for it; repeated calls and forked children do nothing.

        SIGINT ends sessions and writes a checkpoint. A server that does not follow in time gets SIGQUIT, after which
        PostgreSQL recovers on its next start, and SIGKILL last.
        """
        if os.getpid() != self._owner:
            return
        atexit.unregister(self.stop)
        for number, seconds in ((signal.SIGINT, GRACE_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            if not self.alive():
                break
            self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        if self.temporary is not None:
            shutil.rmtree(self.temporary, ignore_errors=True)
        self._lock.close()


def spawn(
    command: Sequence[str | Path], *, cwd: Path, log: Path, lock: DirectoryLock, account: Account | None
) -> Server:
    """Start a server that holds ``lock``, writes to ``log`` and, on Linux, dies with this process even after SIGKILL.

    It gets a session of its own, so that Ctrl-C in a terminal reaches only the process that has to drain first.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("start embedded servers from the main thread: the death signal fires when its thread ends")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=dict(SERVER_ENVIRONMENT),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(lock.fileno(),),
            start_new_session=True,
            preexec_fn=death_signal(),  # noqa: PLW1509 - no second thread yet; runs after setuid, which clears the signal
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            umask=0o077,
        )
    return Server(process, lock, log)


def death_signal(number: signal.Signals = signal.SIGINT) -> Callable[[], None] | None:
    """Return what a child runs before exec to be sent the signal when this thread ends; None without prctl."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork
    parent = os.getpid()

    def arrange() -> None:
        prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # it ended between fork and prctl: no signal will come
            os._exit(1)

    return arrange


def start_or_join(lock: DirectoryLock, start: Callable[[], T], join: Callable[[], T | None], failure: str) -> T:
    """Start the server if nobody runs it, else join the one that runs, whichever becomes possible first.

    ``join`` returns None while there is nothing to connect to. Raises EmbeddedError(failure) after ``JOIN_SECONDS``.
    """
    deadline = time.monotonic() + JOIN_SECONDS
    try:
        while time.monotonic() < deadline:
            if lock.acquire():
                return start()
            joined = join()
            if joined is not None:
                lock.close()
                return joined
            time.sleep(POLL_SECONDS)
    except BaseException:
        lock.close()
        raise
    lock.close()
    raise EmbeddedError(failure)


def wait_ready(server: Server, connect: Callable[[], bool], failure: str, seconds: float) -> None:
    """Wait until a client can connect; stop the server and raise EmbeddedError with the end of its log if it fails."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.alive():
        if connect():
            return
        time.sleep(POLL_SECONDS)
    server.stop()
    raise EmbeddedError(f"{failure} ({last_line(server.log)})")


def last_line(log: Path) -> str:
    """Return the last thing that a server wrote, for a message of one line."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    fatal = [line for line in lines if "FATAL" in line or "PANIC" in line]
    return next((line.strip() for line in reversed(fatal or lines) if line.strip()), f"nothing was written to {log}")
