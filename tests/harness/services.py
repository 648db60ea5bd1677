"""Services of a test's own: the real binaries, in a directory and on a port of their own, stoppable at any moment.

Each class has ``start``, ``stop`` (in good order), ``kill`` (SIGKILL, as a crash), ``restart`` and works as a context
manager. Nothing here touches a service that the machine runs: a used port is refused, and after the start the server
proves to be the one that was started. On Linux the services die with the test process, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Self

import psycopg2
import redis

from edurise.adapters.embedded.process import death_signal

READY_SECONDS = 60.0
STOP_SECONDS = 30.0


class ServiceError(RuntimeError):
    """A service of the test's own could not be started, or something else listens on its port."""


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Yield a new directory that service accounts can pass through, which pytest's own are not; remove it after."""
    directory = Path(tempfile.mkdtemp(prefix="edurise-test-", dir="/var/tmp"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def find_binary(name: str, *patterns: str) -> str | None:
    """Return the path of a server binary: on PATH, or the newest that matches a pattern below /."""
    found = [str(path) for pattern in patterns for path in sorted(Path("/").glob(pattern))]
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin") or (found[-1] if found else None)


def children(pid: int) -> list[int]:
    """Return the process numbers of the direct children."""
    try:
        return [int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def alive(pid: int) -> bool:
    """Return whether the process still runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class OwnService:
    """A server process of the test: subclasses say how it is made, started, asked and recognized."""

    name: ClassVar[str] = "service"
    account: ClassVar[str | None] = None
    """Account that runs it when the tests run as root; None: root itself."""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    more_ports: ClassVar[int] = 0
    """How many ports after the first it also takes."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory.absolute()
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it is reached."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The number of the running server's main process."""
        if self._process is None:
            raise ServiceError(f"{self.name} does not run")
        return self._process.pid

    @property
    def log(self) -> Path:
        """What the server wrote."""
        return self.directory / f"{self.name}.log"

    def start(self) -> None:
        """Start it and wait until it answers; keeps the data of an earlier start in the same directory."""
        self._refuse_used_ports()
        self._prepare()
        self._process = self._spawn(self._command(), self._environment())
        self._wait(self._answers)
        if not self._is_ours():
            self.kill()
            raise ServiceError(f"the {self.name} on port {self.port} is not the one that this test started")

    def stop(self) -> None:
        """Ask it to end and wait; without a running process nothing happens."""
        if self._process is None:
            return
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServiceError(f"{self.name} did not stop within {STOP_SECONDS:.0f} s, see {self.log}") from None
        self._process = None

    def kill(self) -> None:
        """End it and what it forked with SIGKILL, as a crash of the machine would."""
        if self._process is None:
            return
        doomed = [self._process.pid, *children(self._process.pid)]
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        self._wait(lambda: not any(alive(pid) for pid in doomed))

    def restart(self) -> None:
        """Stop in good order and start again on the same data."""
        self.stop()
        self.start()

    def _prepare(self) -> None:
        """Write configuration and data of a first start."""
        self._own_directory(self.directory)

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
        }

    def _answers(self) -> bool:
        raise NotImplementedError

    def _is_ours(self) -> bool:
        raise NotImplementedError

    def _entry(self) -> pwd.struct_passwd | None:
        """Return the account to become, None where the tests do not run as root."""
        return pwd.getpwnam(self.account) if self.account and os.geteuid() == 0 else None

    def _own_directory(self, path: Path) -> None:
        """Make a directory that belongs to the service's account."""
        path.mkdir(parents=True, exist_ok=True)
        if entry := self._entry():
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def _spawn(self, command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        entry = self._entry()
        with self.log.open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=death_signal(signal.SIGKILL),  # noqa: PLW1509 - prctl only, looked up before the fork
                user=entry.pw_uid if entry else None,
                group=entry.pw_gid if entry else None,
                extra_groups=[] if entry else None,
            )

    def _refuse_used_ports(self) -> None:
        if self._process is not None:
            raise ServiceError(f"{self.name} runs already")
        for port in range(self.port, self.port + 1 + self.more_ports):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    raise ServiceError(f"something listens on port {port} already; {self.name} of the test needs it")

    def _wait(self, ready: Callable[[], bool]) -> None:
        """Wait for a fact about another process, which only asking again can tell."""
        deadline = time.monotonic() + READY_SECONDS
        while not ready():
            if self._process is not None and self._process.poll() is not None:
                code, self._process = self._process.returncode, None
                end = self.log.read_text(errors="replace")[-2000:]
                raise ServiceError(f"{self.name} ended with {code} while it started:\n{end}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServiceError(f"{self.name} is not ready after {READY_SECONDS:.0f} s, see {self.log}")
            time.sleep(0.02)


class OwnPostgres(OwnService):
    """PostgreSQL of the machine's packages: superuser ``postgres``, ``trust`` on loopback, fsync on."""

    name = "postgres"
    account = "postgres"
    stop_signal = signal.SIGINT  # fast shutdown: does not wait for clients

    @property
    def url(self) -> str:
        """The superuser's URL."""
        return self.admin_url

    @property
    def admin_url(self) -> str:
        """The superuser's URL, for ``provision``."""
        return f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _binary(self, name: str) -> str:
        found = find_binary(name, f"usr/lib/postgresql/*/bin/{name}")
        if found is None:
            raise ServiceError(f"{name} is not installed: apt-get install postgresql")
        return found

    def _prepare(self) -> None:
        super()._prepare()
        if self._data.exists():
            return
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        done = self._spawn([self._binary("initdb"), "-D", str(self._data), *options], self._environment())
        if done.wait() != 0:
            raise ServiceError(f"initdb failed:\n{self.log.read_text()[-2000:]}")

    def _command(self) -> Sequence[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
        }
        return [
            self._binary("postgres"),
            "-D",
            str(self._data),
            *(f"--{key}={value}" for key, value in options.items()),
        ]

    def _ask(self, question: str) -> str | None:
        try:
            connection = psycopg2.connect(
                host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", connect_timeout=5
            )
        except psycopg2.OperationalError:
            return None
        try:
            with connection.cursor() as cursor:
                cursor.execute(question)
                row = cursor.fetchone()
                return str(row[0]) if row else None
        finally:
            connection.close()

    def _answers(self) -> bool:
        return self._ask("SELECT 1") is not None

    def _is_ours(self) -> bool:
        return self._ask("SHOW data_directory") == str(self._data)


class OwnRedis(OwnService):
    """Redis of the machine's packages; it stores nothing, so a restart forgets everything."""

    name = "redis"

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}"

    def _command(self) -> Sequence[str]:
        binary = find_binary("redis-server")
        if binary is None:
            raise ServiceError("redis-server is not installed: apt-get install redis-server")
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        return [binary, *options, "--dir", str(self.directory)]

    def _process_id(self) -> int | None:
        client = redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=5)
        try:
            return int(client.info("server")["process_id"])
        except (redis.ConnectionError, redis.TimeoutError):
            return None
        finally:
            client.close()

    def _answers(self) -> bool:
        return self._process_id() is not None

    def _is_ours(self) -> bool:
        return self._process_id() == self.pid


class OwnRabbit(OwnService):
    """RabbitMQ with a node name, an Erlang port mapper and a message store of its own; guest:guest, vhost ``/``.

    It takes three ports: AMQP, Erlang distribution and port mapper. Nothing but 127.0.0.1 is listened on.
    """

    name = "rabbitmq"
    account = "rabbitmq"
    more_ports = 2

    def __init__(self, directory: Path, port: int) -> None:
        super().__init__(directory, port)
        self._mapper: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def node(self) -> str:
        """The Erlang node's name."""
        return f"edurise{self.port}@localhost"

    def start(self) -> None:
        """Start the port mapper and the broker."""
        self._refuse_used_ports()
        self._prepare()
        mapper = find_binary("epmd", "usr/lib/erlang/erts-*/bin/epmd")
        if mapper is None:
            raise ServiceError("epmd is not installed: apt-get install --no-install-recommends rabbitmq-server")
        command = [mapper, "-port", str(self.port + 2), "-address", "127.0.0.1"]
        self._mapper = self._spawn(command, self._environment())
        self._wait(lambda: self._listens(self.port + 2))
        try:
            self._process = self._spawn(self._command(), self._environment())
            self._wait(self._answers)
            if not self._is_ours():
                raise ServiceError(f"the {self.name} on port {self.port} is not the one that this test started")
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop the broker, then the port mapper."""
        super().stop()
        self._stop_mapper()

    def kill(self) -> None:
        """SIGKILL the broker; the port mapper goes too."""
        super().kill()
        self._stop_mapper()

    def _stop_mapper(self) -> None:
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()
            self._mapper = None

    def _prepare(self) -> None:
        for path in (self.directory, self.directory / "mnesia", self.directory / "log"):
            self._own_directory(path)
        (self.directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "vm_memory_high_watermark.absolute = 512MB\n"
            "disk_free_limit.absolute = 50MB\n"
            f"cluster_name = {self.node}\n"
        )
        (self.directory / "enabled_plugins").write_text("[].\n")

    def _command(self) -> Sequence[str]:
        binary = find_binary("rabbitmq-server", "usr/lib/rabbitmq/bin/rabbitmq-server")
        if Path("/usr/lib/rabbitmq/bin/rabbitmq-server").exists():
            binary = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # Debian's wrapper on PATH changes user and log files
        if binary is None:
            raise ServiceError(
                "rabbitmq-server is not installed: apt-get install --no-install-recommends rabbitmq-server"
            )
        return [binary]

    def _environment(self) -> dict[str, str]:
        at = self.directory
        return {
            **super()._environment(),
            "HOME": str(at),  # the Erlang cookie is made here
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the Erlang machine, so signals reach it
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_CONFIG_FILE": str(at / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(at / "no-rabbitmq-env.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(at / "no-advanced.config"),
            "RABBITMQ_MNESIA_BASE": str(at / "mnesia"),
            "RABBITMQ_LOG_BASE": str(at / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(at / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(at / "pid"),
            "RABBITMQ_DIST_PORT": str(self.port + 1),
            "ERL_EPMD_PORT": str(self.port + 2),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    @staticmethod
    def _listens(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def _greeting(self) -> bytes:
        """Return the broker's first frame, Connection.Start, in whose properties stands its cluster's name."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(4096)
        except OSError:
            return b""

    def _answers(self) -> bool:
        return b"RabbitMQ" in self._greeting()

    def _is_ours(self) -> bool:
        return self.node.encode() in self._greeting()


class OwnNginx(OwnService):
    """nginx in front of web processes: plain HTTP, WebSocket, and event streams that are not held back."""

    name = "nginx"
    stop_signal = signal.SIGTERM

    def __init__(self, directory: Path, port: int, upstreams: Sequence[str]) -> None:
        super().__init__(directory, port)
        self.upstreams = list(upstreams)
        """``host:port`` of each web process."""

    @property
    def url(self) -> str:
        """Its base URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def _prepare(self) -> None:
        super()._prepare()
        servers = "\n".join(f"    server {upstream} max_fails=1 fail_timeout=1s;" for upstream in self.upstreams)
        user = "user root;" if os.geteuid() == 0 else ""  # as another account the workers could not enter the directory
        (self.directory / "nginx.conf").write_text(NGINX.format(user=user, servers=servers, port=self.port))

    def _command(self) -> Sequence[str]:
        binary = find_binary("nginx")
        if binary is None:
            raise ServiceError("nginx is not installed: apt-get install nginx-light")
        return [binary, "-p", str(self.directory), "-c", str(self.directory / "nginx.conf"), "-e", str(self.log)]

    def _answers(self) -> bool:
        return self._ping() is not None

    def _is_ours(self) -> bool:
        return self._ping() == str(self.directory)

    def _ping(self) -> str | None:
        """Ask the location that only this configuration has; it answers without a web process."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"GET /.own-nginx HTTP/1.0\r\n\r\n")
                answer = b"".join(iter(lambda: connection.recv(4096), b""))
        except OSError:
            return None
        return str(self.directory) if str(self.directory).encode() in answer else "other"


NGINX = """\
daemon off;
{user}
worker_processes 1;
pid nginx.pid;
error_log nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  client_max_body_size 64m;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream web {{
{servers}
    keepalive 16;
  }}
  server {{
    listen 127.0.0.1:{port};
    root .;
    location = /.own-nginx {{ return 200 $document_root; }}
    location / {{
      proxy_pass http://web;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_buffering off;
      add_header X-Served-By $upstream_addr always;
      proxy_connect_timeout 2s;
      proxy_read_timeout 3600s;
      proxy_send_timeout 3600s;
    }}
  }}
}}
"""
