"""Start EduRise in its production form on one machine without containers.

What runs is what compose.yaml runs of EduRise, behind a real nginx with TLS: two webs, two workers, relay and
scheduler, after the jobs ``provision`` (only where DATABASE_ADMIN_URL is set) and ``migrate``. PostgreSQL, Redis and
RabbitMQ are outside. Settings come from the environment and from ``--settings``, a file of ``NAME=value`` lines.

A process that ends is started again. SIGTERM and SIGINT drain them all; ``kill -9`` of this one takes them along.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from edurise.adapters.embedded.process import death_signal  # noqa: E402 - found by the line above

PROCESSES = {
    "web-1": "web",
    "web-2": "web",
    "worker-1": "worker",
    "worker-2": "worker",
    "relay": "relay",
    "scheduler": "scheduler",
}
PROVISION = ("provision", "--with-passwords")
MIGRATE = ("migrate",)
TEMPLATE = ROOT / "deploy" / "nginx.conf"
ADMIN = "DATABASE_ADMIN_URL"

LOOK_EVERY_S = 0.2
PAUSES_S = (1.0, 2.0, 5.0, 15.0, 30.0)
"""Before a process that ended is started again: after the first, second … end; one that ran for longer begins anew."""
READY_WITHIN_S = 120.0
GRACE_S = 45.0
"""How long stopping may take: what is drained one after the other may take EDU_DRAIN_S each."""

# What the official image has around the template; here everything stays in one directory, and nothing is a daemon.
MAIN = """\
daemon off;
{user}
worker_processes auto;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    default_type application/octet-stream;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/edurise.conf;
}}
"""


class CannotStart(Exception):
    """The text is one sentence for whoever started it."""


def render(template: str, values: Mapping[str, str]) -> str:
    """Fill in ``${NAME}`` as the image's envsubst does: names that are not given stay, as nginx's own variables do."""
    for name, value in values.items():
        template = template.replace("${" + name + "}", value)
    return template


def nginx_values(given: argparse.Namespace, public_url: str) -> dict[str, str]:
    """What the template is filled with. Names and the port of the redirect are those of EDU_PUBLIC_URL."""
    public = urlsplit(public_url)
    if public.scheme != "https" or not public.hostname:
        raise CannotStart(f"EDU_PUBLIC_URL must be an https:// address, not {public_url or 'empty'}.")
    directory = given.directory.absolute() / "nginx"
    return {
        "NGINX_WEB_1": f"127.0.0.1:{given.web_ports[0]}",
        "NGINX_WEB_2": f"127.0.0.1:{given.web_ports[1]}",
        "NGINX_CERTIFICATE": str(given.certificate.absolute()),
        "NGINX_CERTIFICATE_KEY": str(given.certificate_key.absolute()),
        "NGINX_HTTP_PORT": f"{given.listen}:{given.http_port}",
        "NGINX_HTTPS_PORT": f"{given.listen}:{given.https_port}",
        "NGINX_PUBLIC_PORT": f":{public.port}" if public.port else "",
        "NGINX_SERVER_NAMES": f"{public.hostname} *.{public.hostname}",
        "NGINX_HSTS": given.hsts,
        "NGINX_ACCESS_LOG": str(directory / "access.log"),
        "NGINX_ERROR_LOG": str(directory / "error.log"),
    }


@dataclass
class Program:
    """One process that is to run for as long as this script does, and its log."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    began_at: float = 0.0
    due_at: float = 0.0
    ends: int = 0

    def start(self) -> None:
        """Start it, with its output appended to its log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.began_at = time.monotonic()
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                list(self.command),
                cwd=ROOT,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is this script's to pass on
                preexec_fn=death_signal(signal.SIGTERM),  # noqa: PLW1509 - prctl only, looked up before the fork
            )

    def look(self, now: float) -> None:
        """Start it again, after a pause, if it has ended."""
        if self.process is not None and self.process.poll() is not None:
            self.ends = 0 if now - self.began_at > PAUSES_S[-1] else self.ends
            pause = PAUSES_S[min(self.ends, len(PAUSES_S) - 1)]
            say(f"{self.name} ended with {self.process.returncode}, see {self.log}; it starts again in {pause:.0f} s")
            self.process, self.due_at, self.ends = None, now + pause, self.ends + 1
        elif self.process is None and now >= self.due_at:
            self.start()

    def ask_to_stop(self) -> None:
        """SIGTERM, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def end(self, until: float) -> None:
        """Wait for its end; kill it where that does not come in time."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            say(f"{self.name} did not stop within {GRACE_S:.0f} s and is killed")
            self.process.kill()
            self.process.wait()


@dataclass
class Site:
    """Everything that this script runs."""

    given: argparse.Namespace
    environment: dict[str, str]
    programs: list[Program] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Jobs, then processes, then nginx; return after the drain."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stopping.set())
        nginx = self._nginx()
        self._jobs()
        try:
            self.programs = [self._edurise(name, verb) for name, verb in PROCESSES.items()]
            for program in self.programs:
                program.start()
            self._await_webs()
            if not self.stopping.is_set():
                self.programs.append(nginx)
                nginx.start()
                say(f"EduRise is at {self.environment['EDU_PUBLIC_URL']}")
            while not self.stopping.wait(LOOK_EVERY_S):
                for program in self.programs:
                    program.look(time.monotonic())
        finally:
            self._drain(nginx)

    def _jobs(self) -> None:
        """Provision and migrate, one after the other. The administrator's URL goes no further."""
        if self.environment.get(ADMIN):
            self._job(PROVISION)
        self.environment.pop(ADMIN, None)
        self._job(MIGRATE)

    def _job(self, arguments: Sequence[str]) -> None:
        done = subprocess.run(
            [sys.executable, str(ROOT / "run.py"), *arguments],
            cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        if done.returncode:
            raise CannotStart(f"run.py {' '.join(arguments)} ended with {done.returncode}; nothing was started.")

    def _edurise(self, name: str, verb: str) -> Program:
        own = dict(self.environment)
        if verb == "web":
            own |= {"EDU_HOST": "127.0.0.1", "PORT": str(self._web_ports[name])}
        command = [sys.executable, str(ROOT / "run.py"), verb]
        return Program(name, command, own, self.given.directory / f"{name}.log")

    @property
    def _web_ports(self) -> dict[str, int]:
        webs = [name for name, verb in PROCESSES.items() if verb == "web"]
        return dict(zip(webs, self.given.web_ports, strict=True))

    def _nginx(self) -> Program:
        """nginx's configuration, tried by nginx itself before anything starts."""
        directory = self.given.directory.absolute() / "nginx"
        directory.mkdir(parents=True, exist_ok=True)
        values = nginx_values(self.given, self.environment.get("EDU_PUBLIC_URL", ""))
        user = f"user {self.given.nginx_user};" if os.geteuid() == 0 else ""
        (directory / "edurise.conf").write_text(render(TEMPLATE.read_text(encoding="utf-8"), values), encoding="utf-8")
        (directory / "nginx.conf").write_text(MAIN.format(user=user, directory=directory), encoding="utf-8")
        binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if binary is None:
            raise CannotStart("nginx is not installed: apt-get install nginx-light.")
        log = directory / "error.log"
        command = [binary, "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", str(log)]
        tried = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
        if tried.returncode:
            raise CannotStart(f"nginx refuses its configuration: {tried.stderr.strip().splitlines()[0]}")
        return Program("nginx", command, {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}, log)

    def _await_webs(self) -> None:
        until = time.monotonic() + READY_WITHIN_S
        for name, port in self._web_ports.items():
            while not _is_ready(port) and not self.stopping.is_set():
                if time.monotonic() > until:
                    raise CannotStart(f"{name} is not ready after {READY_WITHIN_S:.0f} s; see its log.")
                for program in self.programs:
                    program.look(time.monotonic())
                self.stopping.wait(LOOK_EVERY_S)

    def _drain(self, nginx: Program) -> None:
        """Stop the processes side by side while nginx still carries what they finish, then nginx."""
        until = time.monotonic() + GRACE_S
        own = [program for program in self.programs if program is not nginx]
        for program in own:
            program.ask_to_stop()
        for program in own:
            program.end(until)
        nginx.ask_to_stop()
        nginx.end(time.monotonic() + LOOK_EVERY_S * 25)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def say(line: str) -> None:
    """Tell whoever started the script."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def settings_in(path: Path | None) -> dict[str, str]:
    """The lines ``NAME=value`` of a file, as ``docker --env-file`` reads them: no quotes, no expansion."""
    if path is None:
        return {}
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name.strip(): value.strip() for name, _, value in pairs}


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True, help="logs and nginx's configuration")
    parser.add_argument("--certificate", type=Path, required=True, help="nginx's certificate with its chain, PEM")
    parser.add_argument("--certificate-key", type=Path, required=True)
    parser.add_argument("--settings", type=Path, help="file of NAME=value lines, added to the environment")
    parser.add_argument("--listen", default="0.0.0.0", help="nginx's address")  # noqa: S104 - it serves the world
    parser.add_argument("--https-port", type=int, default=443)
    parser.add_argument("--http-port", type=int, default=80)
    parser.add_argument("--web-ports", type=int, nargs=2, default=(8001, 8002), metavar=("FIRST", "SECOND"))
    parser.add_argument("--hsts", default="max-age=31536000; includeSubDomains")
    parser.add_argument("--nginx-user", default="www-data", help="account of nginx's workers, when started by root")
    return parser


def main() -> int:
    """Exit code 2 and one sentence for what keeps it from starting."""
    given = arguments().parse_args()
    try:
        fixed = {"EDU_MODE": "production", "EDU_TRUSTED_PROXIES": "127.0.0.1", "PYTHONUNBUFFERED": "1"}
        Site(given, {**os.environ, **settings_in(given.settings), **fixed}).run()
    except (CannotStart, OSError) as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
