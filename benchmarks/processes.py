"""Child processes of the benchmarks: started with an environment of their own, waited for, read in /proc, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edurise.adapters.embedded.process import death_signal

ROOT = Path(__file__).resolve().parents[1]
READY_S, END_S = 20.0, 15.0
_TICKS = os.sysconf("SC_CLK_TCK")


class ChildFailed(RuntimeError):
    """A child process did not start or ended by itself."""


class Child:
    """A Python process of the project. On Linux it dies with the benchmark, however that ends."""

    def __init__(self, name: str, arguments: Sequence[str], settings: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.port = int(settings.get("PORT", "0"))
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=death_signal(signal.SIGKILL),  # noqa: PLW1509 - prctl only, looked up before the fork
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for_port(self) -> None:
        """Return once the port accepts connections. Raises ChildFailed."""
        limit = time.monotonic() + READY_S
        while time.monotonic() < limit:
            self.check()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise ChildFailed(f"{self.name} does not listen on {self.port}: {self.tail()}")

    def wait_for_line(self, words: str) -> None:
        """Return once the log contains the words. Raises ChildFailed."""
        limit = time.monotonic() + READY_S
        while words not in self.log.read_text(encoding="utf-8", errors="replace"):
            self.check()
            if time.monotonic() > limit:
                raise ChildFailed(f"{self.name} did not say {words!r}: {self.tail()}")
            time.sleep(0.05)

    def check(self) -> None:
        """Raise ChildFailed if the process has ended."""
        if self._process.poll() is not None:
            raise ChildFailed(f"{self.name} ended with {self._process.returncode}: {self.tail()}")

    def stop(self) -> None:
        """End it in good order."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])

    def cpu_s(self) -> float:
        """Processor time used so far, in user and kernel mode."""
        return cpu_s(self.pid)


def free_ports(first: int) -> Iterator[int]:
    """Ports from ``first`` on, those left out at which something listens: another run's server must not be measured."""
    for port in range(first, first + 100):
        with socket.socket() as probe:
            is_taken = probe.connect_ex(("127.0.0.1", port)) == 0
        if not is_taken:
            yield port


def cpu_s(pid: int) -> float:
    """Processor time of a process (proc(5), /proc/pid/stat, fields 14 and 15); 0 for one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def database_cpu_s(database: str) -> float:
    """Processor time of the PostgreSQL processes of this machine that serve ``database``, which is in their titles."""
    found = 0.0
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                title = (process / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if title.startswith(b"postgres: ") and f" {database} ".encode() in title:
                found += cpu_s(int(process.name))
    return found
