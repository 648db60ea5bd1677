"""EduRise as it runs in production: separate processes behind nginx, on services of the test's own.

Everything is one ``Stack``: PostgreSQL, Redis, RabbitMQ, nginx, the simulators of Stripe, of a language model and of a
mail server, two webs, a worker, a relay and a scheduler, each a process that can be stopped, killed and started again.
They are ended by their process numbers, whatever the test does, and write their logs into the stack's directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from edurise.adapters.provision import DatabaseUrls, provision
from tests.harness.client import Client, PlainClient
from tests.harness.freezer import Freezer
from tests.harness.services import OwnNginx, OwnPostgres, OwnRabbit, OwnRedis, OwnService, ServiceError

ROOT = Path(__file__).resolve().parents[2]
MIGRATE_SECONDS = 120
LOG_TAIL = 4_000
STRIPE_SECRET = "whsec_of_the_stack"
OPENAI_KEY = "sk-of-the-simulated-tutor"
STRIPE_KEY = "sk_live_of_the_simulator"


class OwnProgram(OwnService):
    """A Python process of the project. It is ready when ``path`` answers 200 at its port or, without a port, when its
    log holds ``ready``.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        ready: str,
        port: int = 0,
    ) -> None:
        super().__init__(directory, port)
        self.name = name
        self.environment = dict(environment)
        self._arguments = list(arguments)
        self._ready = ready
        self._log_before = 0

    @property
    def url(self) -> str:
        """Its base URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.begin()
        self.await_ready()

    def begin(self) -> None:
        """Start it without waiting."""
        self._refuse_used_ports()
        self._prepare()
        self._log_before = self.log.stat().st_size if self.log.exists() else 0
        self._process = self._spawn(self._command(), self._environment())

    def await_ready(self) -> None:
        """Wait until it is ready. Raises ServiceError with the end of its log if it ends instead."""
        self._wait(self._answers)

    def ask_to_stop(self) -> None:
        """SIGTERM; ``stop`` waits for the end."""
        if self._process is not None:
            self._process.send_signal(self.stop_signal)

    def said(self) -> str:
        """What it wrote since its last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_before)
            return log.read().decode(errors="replace")

    def _refuse_used_ports(self) -> None:
        if self.port:
            super()._refuse_used_ports()
        elif self._process is not None:
            raise ServiceError(f"{self.name} runs already")

    def _command(self) -> Sequence[str]:
        return [sys.executable, *self._arguments]

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **self.environment}

    def _answers(self) -> bool:
        if not self._ready.startswith("/"):
            return self._ready in self.said()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", self._ready)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class Stack:
    """Two webs behind nginx, a worker, a relay and a scheduler on services of their own. Takes 16 ports.

    The worker reaches RabbitMQ through ``freezer``, so that a test can hold back what it says.
    """

    def __init__(self, directory: Path, first_port: int, settings: Mapping[str, str]) -> None:
        self.directory = directory
        self.postgres = OwnPostgres(directory / "postgres", first_port)
        self.redis = OwnRedis(directory / "redis", first_port + 1)
        self.rabbit = OwnRabbit(directory / "rabbitmq", first_port + 2)  # and the two ports after it
        web_ports = (first_port + 6, first_port + 7)
        self.nginx = OwnNginx(directory / "nginx", first_port + 5, [f"127.0.0.1:{port}" for port in web_ports])
        self.freezer = Freezer(first_port + 10, self.rabbit.port)
        self._stripe_port, self._smtp_port, self._openai_port = first_port + 8, first_port + 9, first_port + 11
        self.mail_folder = directory / "mail"
        self.settings = {**self._settings(), **settings}
        self.stripe = self._simulator("stripe", self._stripe_port, self._stripe_arguments())
        self.openai = self._simulator("openai", self._openai_port, ["--api-key", OPENAI_KEY])
        self.smtp = self._simulator("smtp", self._smtp_port, ["--folder", str(self.mail_folder)])
        self.webs = tuple(self._edurise("web", f"web-{port}", port) for port in web_ports)
        self.worker = self._edurise("worker")
        self.worker.environment["AMQP_URL"] = f"amqp://guest:guest@127.0.0.1:{self.freezer.port}/"
        self.relay = self._edurise("relay")
        self.scheduler = self._edurise("scheduler")
        self.urls: DatabaseUrls | None = None
        # One thread that lives as long as the stack: what it starts is told to die with the thread that started it.
        self._hands = ThreadPoolExecutor(1, thread_name_prefix="stack")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def programs(self) -> tuple[OwnProgram, ...]:
        """Every Python process."""
        return (*self.webs, self.worker, self.relay, self.scheduler, self.stripe, self.smtp, self.openai)

    @property
    def client(self) -> Client:
        """Nobody in particular, through nginx."""
        return Client(self.nginx.url)

    @property
    def teacher(self) -> PlainClient:
        """The simulator of a language model, as the test reaches it: ``/control`` plans its answers."""
        return PlainClient(self.openai.url)

    @property
    def gateway(self) -> PlainClient:
        """The Stripe simulator, as a browser and as the test reach it."""
        return PlainClient(self.stripe.url)

    def start(self) -> None:
        """Start the services, provision and migrate, then start the processes side by side and wait for all."""
        for service in (self.postgres, self.redis, self.rabbit):
            service.start()
        self.freezer.start()
        self.urls = provision(self.postgres.admin_url, "edurise", None)
        self.settings |= {
            "DATABASE_URL": self.urls.application,
            "DATABASE_OWNER_URL": self.urls.owner,
            "DATABASE_SYSTEM_URL": self.urls.system,
        }
        for program in (*self.webs, self.worker, self.relay, self.scheduler):
            program.environment = {**self.settings, **program.environment}
        self._migrate()
        for program in self.programs:
            program.begin()
        for program in self.programs:
            program.await_ready()
        self.nginx.start()

    async def meanwhile(self, work: Callable[[], None]) -> None:
        """Start, stop or restart something while the loop of the test goes on."""
        await asyncio.get_running_loop().run_in_executor(self._hands, work)

    def stop(self) -> None:
        """End everything, the last started first; a process that does not end in time is killed, and reported."""
        for program in self.programs:
            program.ask_to_stop()
        with contextlib.ExitStack() as stack:
            stack.callback(self._hands.shutdown)
            for service in (self.postgres, self.redis, self.rabbit, self.freezer, *self.programs, self.nginx):
                stack.callback(service.stop)

    def complaints(self) -> list[str]:
        """The lines of an error in the logs of all Python processes."""
        signs = ('"level":"error"', "Traceback", "ERROR")
        return [
            f"{program.name}: {line}"
            for program in self.programs
            if program.log.exists()
            for line in program.log.read_text(errors="replace").splitlines()
            if any(sign in line for sign in signs)
        ]

    def log_ends(self) -> list[tuple[str, str]]:
        """(name, end of its log) of every process, for the report of a failed test."""
        services = (*self.programs, self.nginx, self.rabbit, self.postgres)
        return [(one.name, one.log.read_text(errors="replace")[-LOG_TAIL:]) for one in services if one.log.exists()]

    def _settings(self) -> dict[str, str]:
        return {
            "REDIS_URL": self.redis.url,
            "AMQP_URL": self.rabbit.url,
            "EDU_MODE": "production",
            "EDU_SECRET_KEY": "of-the-tests-own-stack-0123456789abcdef",
            "EDU_PUBLIC_URL": self.nginx.url,
            "EDU_TRUSTED_PROXIES": "127.0.0.1",
            "EDU_STRIPE_SECRET_KEY": STRIPE_KEY,
            "EDU_STRIPE_WEBHOOK_SECRET": STRIPE_SECRET,
            "EDU_STRIPE_API_URL": f"http://127.0.0.1:{self._stripe_port}",
            "EDU_OPENAI_API_KEY": OPENAI_KEY,
            "EDU_OPENAI_BASE_URL": f"http://127.0.0.1:{self._openai_port}/v1",
            "EDU_SMTP_URL": f"smtp://127.0.0.1:{self._smtp_port}",
            "EDU_FILE_STORE": "local",
            "EDU_DATA_DIR": str(self.directory / "data"),
            "EDU_ARGON2_MEMORY_KIB": "8",
            "EDU_ARGON2_TIME_COST": "1",
            "EDU_ARGON2_PARALLELISM": "1",
            # The whole story comes from one address.
            "EDU_PUBLIC_READS_PER_MIN": "100000",
            "EDU_SENSITIVE_CALLS_PER_MIN": "100000",
            "EDU_DRAIN_S": "5",
        }

    def _edurise(self, part: str, name: str | None = None, port: int = 0) -> OwnProgram:
        environment = {"PORT": str(port)} if port else {}
        ready = "/readyz" if port else f"EduRise {part}"
        place = self.directory / (name or part)
        return OwnProgram(place, name or part, [str(ROOT / "run.py"), part], environment, ready=ready, port=port)

    def _simulator(self, name: str, port: int, options: Sequence[str]) -> OwnProgram:
        arguments = ["-m", f"tests.simulators.{name}", "--port", str(port), *options]
        return OwnProgram(self.directory / name, name, arguments, {}, ready=f"{name} simulator at", port=port)

    def _stripe_arguments(self) -> list[str]:
        hook = f"{self.nginx.url}/api/v1/webhooks/stripe/"
        return ["--webhook", hook, "--secret", STRIPE_SECRET, "--api-key", STRIPE_KEY]

    def _migrate(self) -> None:
        done = subprocess.run(
            [sys.executable, str(ROOT / "run.py"), "migrate"],
            env=self.scheduler._environment(),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MIGRATE_SECONDS,
            check=False,
        )
        if done.returncode:
            raise ServiceError(f"migrate ended with {done.returncode}:\n{done.stdout}{done.stderr}")
