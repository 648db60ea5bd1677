"""The production form with TLS everywhere: deploy/start.py behind a real nginx, on services that refuse plain text.

Every certificate is of a test authority, the clients of the test believe in no other, and everything that is asked goes
over https and wss.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import aio_pika
import psycopg2
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from tornado.httpclient import HTTPError
from tornado.ioloop import IOLoop
from tornado.websocket import websocket_connect

from edurise.adapters.provision import DatabaseUrls
from edurise.tenants.queries import MAIN
from tests.e2e import cashier
from tests.e2e.town import AUTH, Town, logged_in
from tests.harness import raw
from tests.harness.authority import Authority
from tests.harness.books import Books
from tests.harness.client import Client, PlainClient
from tests.harness.encrypted import HOST, EncryptedPostgres, EncryptedRabbit, EncryptedRedis
from tests.harness.listener import Listener
from tests.harness.machine import require
from tests.harness.processes import OPENAI_KEY, ROOT, STRIPE_KEY, STRIPE_SECRET, OwnProgram
from tests.harness.services import alive, children, scratch
from tests.harness.waiting import eventually

pytestmark = [pytest.mark.e2e]

FIRST_PORT = 21500
STUDENT = "selma@learners.example"
HSTS = "max-age=31536000; includeSubDomains"
PROTOCOL_VERSION = "TLSV1_ALERT_PROTOCOL_VERSION"


class Site:
    """Services with TLS, simulators, and what deploy/start.py makes of it. Takes 11 ports."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory / "authority")
        self.stranger = Authority(directory / "stranger", "Nobody in particular")
        self.postgres = EncryptedPostgres(directory / "postgres", FIRST_PORT, self.authority)
        self.redis = EncryptedRedis(directory / "redis", FIRST_PORT + 1, self.authority)
        self.rabbit = EncryptedRabbit(directory / "rabbitmq", FIRST_PORT + 2, self.authority)  # and two after it
        self.https_port, self.http_port = FIRST_PORT + 5, FIRST_PORT + 6
        self.web_ports = (FIRST_PORT + 7, FIRST_PORT + 8)
        self.url = f"https://{HOST}:{self.https_port}"
        self.directory = directory / "site"
        self.mail_folder = directory / "mail"
        self.urls = DatabaseUrls(
            self.postgres.url_of("edurise_owner:owners-own"),
            self.postgres.url_of("edurise_app:apps-own"),
            self.postgres.url_of("edurise_system:systems-own"),
        )
        hook = ["--webhook", f"{self.url}/api/v1/webhooks/stripe/", "--secret", STRIPE_SECRET, "--api-key", STRIPE_KEY]
        self.stripe = self._simulator(directory, "stripe", FIRST_PORT + 9, hook)
        self.smtp = self._simulator(directory, "smtp", FIRST_PORT + 10, ["--folder", str(self.mail_folder)])
        self.script = OwnProgram(
            directory / "start", "start", self._arguments(directory), self.settings, ready="EduRise is at"
        )
        self.exit_code: int | None = None

    @property
    def settings(self) -> dict[str, str]:
        """What every process is told; the administrator's URL is told to the script alone."""
        return {
            "DATABASE_URL": self.urls.application,
            "DATABASE_OWNER_URL": self.urls.owner,
            "DATABASE_SYSTEM_URL": self.urls.system,
            "DATABASE_ADMIN_URL": self.postgres.admin_url,
            "REDIS_URL": self.redis.url,
            "AMQP_URL": self.rabbit.url,
            "EDU_MODE": "production",
            "EDU_SECRET_KEY": "of-the-tests-encrypted-site-0123456789abcdef",
            "EDU_PUBLIC_URL": self.url,
            "EDU_STRIPE_SECRET_KEY": STRIPE_KEY,
            "EDU_STRIPE_WEBHOOK_SECRET": STRIPE_SECRET,
            "EDU_STRIPE_API_URL": self.stripe.url,
            "EDU_OPENAI_API_KEY": OPENAI_KEY,
            "EDU_SMTP_URL": f"smtp://127.0.0.1:{self.smtp.port}",
            "EDU_FILE_STORE": "local",
            "EDU_DATA_DIR": str(self.directory / "data"),
            "EDU_ARGON2_MEMORY_KIB": "8",
            "EDU_ARGON2_TIME_COST": "1",
            "EDU_ARGON2_PARALLELISM": "1",
            "EDU_DRAIN_S": "5",
        }

    @property
    def client(self) -> Client:
        """Nobody in particular, through nginx."""
        return Client(self.url)

    @property
    def gateway(self) -> PlainClient:
        """The Stripe simulator."""
        return PlainClient(self.stripe.url)

    @contextlib.contextmanager
    def running(self) -> Iterator[Site]:
        """Everything started, in order; at the end the script drains what it started."""
        with contextlib.ExitStack() as stack:
            for service in (self.postgres, self.redis, self.rabbit, self.stripe, self.smtp):
                stack.enter_context(service)
            stack.callback(self._stop_script)
            self.script.start()
            yield self

    def processes(self) -> dict[int, str]:
        """The command line of each process that the script runs, by its number."""
        found = {}
        for pid in children(self.script.pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        return found

    def running_webs(self) -> list[int]:
        """The numbers of the web processes that live."""
        return [pid for pid, command in self.processes().items() if command.endswith("run.py web") and alive(pid)]

    def logs(self) -> dict[str, str]:
        """What each process wrote, nginx's logs included."""
        found = [*self.directory.glob("*.log"), *self.directory.glob("nginx/*.log")]
        return {path.name: path.read_text(errors="replace") for path in found}

    def checked(self, **changes: str) -> tuple[int, list[str]]:
        """Exit code and lines of ``run.py check`` with these settings changed."""
        return self.said("check", changes)

    def said(self, verb: str, changes: Mapping[str, str]) -> tuple[int, list[str]]:
        """Exit code and lines of one verb of run.py with these settings changed."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "run.py"), verb],
            env={"PATH": os.environ["PATH"], **self.settings, **changes},
            cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, (done.stdout + done.stderr).strip().splitlines()

    def _stop_script(self) -> None:
        process = self.script._process
        self.script.stop()
        self.exit_code = process.returncode if process is not None else None

    def _arguments(self, directory: Path) -> list[str]:
        made = self.authority.issue("nginx", [HOST])
        return [
            str(ROOT / "deploy" / "start.py"),
            "--directory", str(self.directory),
            "--certificate", str(made.certificate),
            "--certificate-key", str(made.key),
            "--listen", "127.0.0.1",
            "--https-port", str(self.https_port),
            "--http-port", str(self.http_port),
            "--web-ports", *(str(port) for port in self.web_ports),
        ]  # fmt: skip

    def _simulator(self, directory: Path, name: str, port: int, options: list[str]) -> OwnProgram:
        arguments = ["-m", f"tests.simulators.{name}", "--port", str(port), *options]
        trusts = {"SSL_CERT_FILE": str(self.authority.path)}
        return OwnProgram(directory / name, name, arguments, trusts, ready=f"{name} simulator at", port=port)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The whole site; the test's own clients believe in its authority and in no other."""
    for binary in ("postgres-server", "redis-server", "rabbitmq-server", "nginx"):
        require(binary)
    with scratch() as directory, pytest.MonkeyPatch.context() as patch:
        made = Site(directory)
        trusting = ssl.create_default_context(cafile=made.authority.path)
        patch.setattr("tornado.simple_httpclient._client_ssl_defaults", lambda: trusting)
        try:
            with made.running():
                yield made
        except BaseException:
            sys.stderr.writelines(f"--- {name}\n{text[-2000:]}\n" for name, text in made.logs().items())
            raise
        assert made.exit_code == 0, "the script drained everything and ended well"


@pytest.fixture(scope="module")
def student(site: Site, io_loop: IOLoop) -> Client:
    """A learner of ``main``, logged in, and a course on sale elsewhere."""
    town = Town(site)
    try:
        town.person(STUDENT, MAIN)
    finally:
        town.close()
    return io_loop.run_sync(lambda: logged_in(site.client, STUDENT), timeout=30)


@pytest.fixture(scope="module")
def course_id(site: Site) -> str:
    town = Town(site)
    try:
        bay = town.organization("Bay College", "bay")
        return str(town.course(town.person("tariq@bay.example", bay, "teacher"), bay, "Harvesting Waves", "49.90"))
    finally:
        town.close()


def asked(site: Site, statement: str) -> list[tuple[object, ...]]:
    """What the superuser is answered."""
    connection = psycopg2.connect(site.postgres.url_of("postgres").replace("+psycopg2", ""))
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()


@pytest.mark.gen_test(timeout=60)
async def test_every_answer_over_https_tells_to_stay_there(site: Site, student: Client) -> None:
    me = await student.get("/api/v1/users/me/")
    assert (me.status, me.body["email"]) == (200, STUDENT)
    nowhere = await PlainClient(site.url).get("/api/v1/there-is-no-such-thing/")
    hidden = [await PlainClient(site.url).get(path) for path in ("/metrics", "/readyz")]
    assert [nowhere.status, *(one.status for one in hidden)] == [404, 404, 404]
    for answer in (me, nowhere, *hidden):
        assert answer.headers.get_list("Strict-Transport-Security") == [HSTS]
    assert "Server" not in me.headers or "/" not in me.headers["Server"]


@pytest.mark.gen_test(timeout=60)
async def test_plain_http_only_leads_to_https(site: Site) -> None:
    plain = f"http://127.0.0.1:{site.http_port}"
    head = f"Host: {HOST}:{site.http_port}\r\n\r\n".encode()
    for method in (b"GET", b"POST"):
        answer = await raw.send(plain, method + b" /api/v1/users/me/?page=2 HTTP/1.1\r\n" + head)
        assert (answer.status, answer.headers["location"]) == (308, f"{site.url}/api/v1/users/me/?page=2")


@pytest.mark.gen_test(timeout=60)
async def test_other_names_get_nothing(site: Site) -> None:
    with pytest.raises(EOFError):
        await raw.send(f"http://127.0.0.1:{site.http_port}", b"GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n")
    context = ssl.create_default_context(cafile=site.authority.path)
    with (
        socket.create_connection(("127.0.0.1", site.https_port), 5) as plain,
        pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"),
    ):
        context.wrap_socket(plain, server_hostname="elsewhere.example")
    connection = http.client.HTTPSConnection(HOST, site.https_port, timeout=5, context=context)
    try:
        connection.request("GET", "/healthz", headers={"Host": "elsewhere.example"})
        with pytest.raises(http.client.BadStatusLine):
            connection.getresponse()
    finally:
        connection.close()


def agreed(site: Site, authority: Authority, version: ssl.TLSVersion, *protocols: str) -> tuple[str | None, str | None]:
    """(version of TLS, protocol on top of it) that nginx and a client with exactly this version agree upon."""
    context = ssl.create_default_context(cafile=authority.path)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # else this client itself would refuse what is old
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = version
    if protocols:
        context.set_alpn_protocols(list(protocols))
    with (
        socket.create_connection(("127.0.0.1", site.https_port), 5) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as connection,
    ):
        return connection.version(), connection.selected_alpn_protocol()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
def test_old_tls_is_refused_and_http2_is_offered(site: Site) -> None:
    ours = site.authority
    assert agreed(site, ours, ssl.TLSVersion.TLSv1_2) == ("TLSv1.2", None)
    assert agreed(site, ours, ssl.TLSVersion.TLSv1_3, "h2", "http/1.1") == ("TLSv1.3", "h2")
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises(ssl.SSLError) as refused:
            agreed(site, ours, version)
        assert refused.value.reason == PROTOCOL_VERSION
    with pytest.raises(ssl.SSLCertVerificationError):
        agreed(site, site.stranger, ssl.TLSVersion.TLSv1_3)


@pytest.mark.gen_test(timeout=90)
async def test_a_purchase_is_settled_and_told_through_wss(site: Site, student: Client, course_id: str) -> None:
    books = Books(site.postgres.port, site.mail_folder)
    async with Listener(site.url, student.token or "").open() as listener:
        payment_id = await cashier.bought(student, site.gateway, course_id)
        # The welcome may come as late as this: nobody waited for it before.
        await eventually(lambda: len(set(listener.types()) - {"welcome"}) >= 2, "the frames of the purchase", 40)
    assert sorted(set(listener.types()) - {"welcome"}) == ["course_enrollment", "payment_settled"]
    settled = next(one for one in listener.events if one["data"]["notification"]["type"] == "payment_settled")
    assert settled["notification"]["data"] == {"course_id": course_id, "payment_id": payment_id}
    (purchase,) = books.purchases()
    assert (str(purchase["id"]), purchase["status"]) == (payment_id, "completed")
    assert books.wrong_purchases() == []

    async def webhooks_came_by_https() -> bool:
        hooks = (await site.gateway.get("/_sim/state")).body["webhooks"]
        return hooks["pending"] == 0 and hooks["answer_200"] >= 1

    await eventually(webhooks_came_by_https, "the webhooks")
    await eventually(lambda: books.open_work() == 0, "the end of all deliveries", 40)
    assert STUDENT in [mail["To"] for mail in books.mails()]


@pytest.mark.gen_test(timeout=60)
async def test_the_socket_wants_the_same_authority(site: Site, student: Client) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stranger = ssl.create_default_context(cafile=site.stranger.path)
        patch.setattr("tornado.simple_httpclient._client_ssl_defaults", lambda: stranger)
        with pytest.raises(ssl.SSLCertVerificationError):
            await websocket_connect(f"wss://{HOST}:{site.https_port}/ws/notifications/?token={student.token}")


def test_every_process_runs(site: Site) -> None:
    commands = sorted(command.rpartition("run.py ")[2] for command in site.processes().values() if "run.py" in command)
    assert commands == ["relay", "scheduler", "web", "web", "worker", "worker"]
    for pid in site.processes():
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"DATABASE_ADMIN_URL" not in environment


def test_postgres_is_reached_by_tls_only(site: Site, student: Client) -> None:
    found = asked(
        site,
        "SELECT a.usename, s.ssl, s.version, count(*) FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid)"
        " WHERE a.usename LIKE 'edurise%' GROUP BY 1, 2, 3",
    )
    roles = {str(role) for role, _, _, _ in found}
    assert {"edurise_app", "edurise_system"} <= roles
    assert {(ssl_used, version) for _, ssl_used, version, _ in found} == {(True, "TLSv1.3")}
    plain = site.urls.application.replace("+psycopg2", "").replace("verify-full", "disable")
    with pytest.raises(psycopg2.OperationalError, match="no encryption"):
        psycopg2.connect(plain)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(site.urls.application.replace("+psycopg2", "").replace("apps-own", "guessed"))


@pytest.mark.gen_test(timeout=60)
async def test_redis_is_reached_by_tls_only(site: Site, student: Client) -> None:
    wrong = await PlainClient(site.url).post(f"{AUTH}/login/", {"email": STUDENT, "password": "guessed-wrong"})
    assert wrong.status == 400
    client = site.redis.client()
    try:
        assert list(client.scan_iter("edurise:limit*")), "the attempt was counted there, not in the process"
        assert client.config_get("port") == {"port": "0"}
        subscribed = [one for one in client.client_list() if int(one["sub"]) > 0]
        assert len(subscribed) >= 6, "each of the six processes listens"
        assert {one["laddr"] for one in client.client_list()} == {f"127.0.0.1:{site.redis.port}"}
    finally:
        client.close()
    plain = redis.Redis(host="127.0.0.1", port=site.redis.port, socket_timeout=5, retry=Retry(NoBackoff(), 0))
    try:
        with pytest.raises(redis.ConnectionError):
            plain.ping()
    finally:
        plain.close()


@pytest.mark.gen_test(timeout=60)
async def test_rabbitmq_is_reached_by_tls_only(site: Site, student: Client) -> None:
    assert set(listening(site.rabbit.pid)) == {site.rabbit.port, site.rabbit.port + 1}  # and Erlang's distribution
    with pytest.raises((aio_pika.exceptions.AMQPError, OSError, StopAsyncIteration)):
        await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{site.rabbit.port}/", timeout=5)
    connection = await aio_pika.connect(site.rabbit.url, timeout=5)
    try:
        channel = await connection.channel()
        queue = await channel.declare_queue("edurise.notifications.tell_the_buyer", passive=True)
        assert queue.declaration_result.consumer_count == 2, "both workers"
    finally:
        await connection.close()


def listening(pid: int) -> list[int]:
    """The TCP ports that a process listens on."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            sockets.add(str(descriptor.readlink()))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.append(int(fields[1].rpartition(":")[2], 16))
    return found


def test_check_finds_nothing(site: Site) -> None:
    assert site.checked() == (0, ["no fault found"])


SERVICES = {"DATABASE_URL": 0, "DATABASE_SYSTEM_URL": 0, "DATABASE_OWNER_URL": 0, "REDIS_URL": 1, "AMQP_URL": 2}
UNBELIEVED = "{name}: the certificate of localhost:{port} is not believed: "
MISNAMED = (
    "{name}: the certificate of 127.0.0.1:{port} is not believed: "
    "IP address mismatch, certificate is not valid for '127.0.0.1'."
)
UNREADABLE = "{name}: the authority's certificate /nowhere.pem cannot be read (No such file or directory)."


def told(sentence: str) -> list[str]:
    """The sentence about each service."""
    return [sentence.format(name=name, port=FIRST_PORT + number) for name, number in SERVICES.items()]


def test_check_says_what_is_wrong_with_each_certificate(site: Site) -> None:
    urls = {name: site.settings[name] for name in SERVICES}
    ours, strangers = str(site.authority.path), str(site.stranger.path)
    code, lines = site.checked(**{name: url.replace(ours, strangers) for name, url in urls.items()})
    reasons = [line.removeprefix(start) for line, start in zip(lines, told(UNBELIEVED), strict=True)]
    issuer, chain = "unable to get local issuer certificate.", "self-signed certificate in certificate chain."
    assert (code, reasons) == (1, [issuer, issuer, issuer, chain, chain])
    wrong_name = {name: url.replace(f"@{HOST}:", "@127.0.0.1:") for name, url in urls.items()}
    assert site.checked(**wrong_name) == (1, told(MISNAMED))
    no_file = {name: url.replace(ours, "/nowhere.pem") for name, url in urls.items()}
    assert site.checked(**no_file) == (1, told(UNREADABLE))


def test_check_says_that_services_want_tls(site: Site) -> None:
    plain = {name: site.settings[name].partition("?")[0] for name in SERVICES}
    for name in ("DATABASE_URL", "DATABASE_SYSTEM_URL", "DATABASE_OWNER_URL"):
        plain[name] += "?sslmode=disable"
    plain["REDIS_URL"] = plain["REDIS_URL"].replace("rediss:", "redis:")
    plain["AMQP_URL"] = plain["AMQP_URL"].replace("amqps:", "amqp:")
    code, lines = site.checked(**plain)
    assert (code, [line.partition(":")[0] for line in lines]) == (1, list(SERVICES)), lines
    assert all("no encryption" in line for line in lines[:3])
    assert all("closed" in line or "reset" in line for line in lines[3:]), lines


def test_no_process_starts_on_a_database_that_it_does_not_believe(site: Site) -> None:
    names = ("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_SYSTEM_URL", "DATABASE_ADMIN_URL")
    wrong = {name: site.settings[name].replace(str(site.authority.path), str(site.stranger.path)) for name in names}
    code, lines = site.said("migrate", wrong)
    assert (code, len(lines)) == (2, 1)
    assert "certificate verify failed" in lines[0]
    code, lines = site.said("provision", wrong)
    assert (code, len(lines)) == (2, 1)
    assert "certificate verify failed" in lines[0]
    code, lines = site.said("worker", {"REDIS_URL": site.redis.url.replace(str(site.authority.path), "/nowhere.pem")})
    sentence = "REDIS_URL: the authority's certificate /nowhere.pem cannot be read (No such file or directory)."
    assert (code, lines) == (2, [sentence])


def test_the_script_refuses_in_one_sentence(site: Site, tmp_path: Path) -> None:
    for name, changes, arguments in (
        ("EDU_PUBLIC_URL must be an https:// address", {"EDU_PUBLIC_URL": "http://localhost"}, []),
        ("nginx refuses its configuration: ", {}, ["--certificate", "/nowhere.pem"]),
        ("run.py migrate ended with 2; nothing was started.", {"DATABASE_ADMIN_URL": "", "EDU_CPU": "none"}, []),
    ):
        done = subprocess.run(
            [*site.script._command(), "--directory", str(tmp_path / "site"), *arguments],
            env={"PATH": os.environ["PATH"], **site.settings, **changes},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, name in done.stderr.splitlines()[-1]) == (2, True), done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.gen_test(timeout=90)
async def test_webs_that_die_come_back_and_no_log_holds_a_token(site: Site, student: Client) -> None:
    complaints = [line for text in site.logs().values() for line in text.splitlines() if '"level":"error"' in line]
    assert complaints == []
    doomed = site.running_webs()
    assert len(doomed) == 2
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)
    secret = student.token or ""
    with pytest.raises(HTTPError) as refused:
        await websocket_connect(f"wss://{HOST}:{site.https_port}/ws/notifications/?token={secret}")
    assert refused.value.code == 502

    async def serves() -> bool:
        return (await PlainClient(site.url).get("/healthz")).status == 200

    await eventually(serves, "a web after the crash", 40)
    await eventually(lambda: len(site.running_webs()) == 2, "both webs after the crash", 40)
    assert not set(site.running_webs()) & set(doomed)
    assert "web-1 ended with -9" in site.script.said()
    logs = site.logs()
    assert '"GET /ws/notifications/" 502' in logs["access.log"]
    assert '"GET /ws/notifications/" 101' in logs["access.log"]
    assert [name for name, text in logs.items() if secret in text or "token=" in text] == []
