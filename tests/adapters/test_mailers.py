"""Mail over a real SMTP conversation, and mail into a folder."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from edurise.adapters.clock import SetClock
from edurise.adapters.folder_mailer import FolderMailer
from edurise.adapters.resilience import CircuitBreaker
from edurise.adapters.smtp_mailer import SmtpMailer, SmtpSettings, smtp_settings
from edurise.errors import DomainError, Invalid, Upstream
from edurise.notifications.ports import Mail, Mailer
from tests.simulators.smtp import SmtpSimulator

Run = Callable[[Coroutine[Any, Any, Any]], Any]
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SENDER = "EduRise Schule für alle <no-reply@school.example>"
MAIL = Mail(
    to="ada@learner.example",
    subject="إيصال الدفع: Algebra für Anfänger",
    text="مرحبًا\n" + "long " * 300,
    html="<p>مرحبًا</p>",
    message_id="0199c0de.tell-the-buyer@school.example",
    language="ar",
)
HOSTILE = {
    "subject": ["a\r\nBcc: x@y.example", "a\nb", "a\rb", "a\n", "a\u2028b", "a\x85b", "a\0b"],
    "to": [
        "a@b.example\r\nBcc: x@y.example",
        "a@b.example\n",
        "a@b.example, x@y.example",
        "a@b.example;x@y.example",
        "Ada <a@b.example>",
        "a@b.example>",
        "<a@b.example",
        "a b@c.example",
        "@b.example",
        "a@",
        "a",
        "",
        "a\0@b.example",
    ],
    "message_id": ["a@b>\r\nX: y", "a b@c", "a", "<a@b", "", "a@b\n"],
    "language": ["en\r\nX: y", "en\n", "", "a b"],
}


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def clock() -> SetClock:
    return SetClock(NOON)


@pytest.fixture
def server() -> Iterator[SmtpSimulator]:
    simulator = SmtpSimulator()
    simulator.start()
    yield simulator
    simulator.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody else has signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "smtp simulator")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "cert.pem", folder / "key.pem"


def settings(port: int, **more: Any) -> SmtpSettings:
    return replace(smtp_settings(f"smtp://127.0.0.1:{port}", sender=SENDER, timeout_s=5.0), **more)


@pytest.fixture
def mailer(server: SmtpSimulator, clock: SetClock) -> Mailer:
    return SmtpMailer(settings(server.port), clock)


def refusal(run: Run, mailer: Mailer, mail: Mail) -> DomainError:
    with pytest.raises(DomainError) as refused:
        run(mailer.send(mail))
    return refused.value


def check(message: EmailMessage) -> None:
    assert message["Subject"] == MAIL.subject
    assert message["To"] == MAIL.to
    assert message["From"] == SENDER
    assert message["Message-ID"] == f"<{MAIL.message_id}>"
    assert message["Date"].datetime == NOON
    assert message["Content-Language"] == "ar"
    assert message["Auto-Submitted"] == "auto-generated"
    assert "\n".join(message.get_body(("plain",)).get_content().splitlines()) == MAIL.text
    assert message.get_body(("html",)).get_content().strip() == MAIL.html


def test_a_mail_arrives_as_it_was_written(run: Run, mailer: Mailer, server: SmtpSimulator) -> None:
    run(mailer.send(MAIL))
    (received,) = server.mails
    assert received.sender == "no-reply@school.example"
    assert received.recipients == (MAIL.to,)
    check(received.message)


def test_the_wire_sees_seven_bits_and_short_lines(run: Run, clock: SetClock, tmp_path: Path) -> None:
    simulator = SmtpSimulator(folder=tmp_path)
    simulator.start()
    run(SmtpMailer(settings(simulator.port), clock).send(MAIL))
    simulator.stop()
    (file,) = tmp_path.glob("*.eml")
    raw = file.read_bytes()
    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998


@pytest.mark.parametrize("how", ["smtp", "folder"])
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in HOSTILE.items() for value in values])
def test_nothing_gets_into_the_headers(
    run: Run, mailer: Mailer, server: SmtpSimulator, clock: SetClock, tmp_path: Path, how: str, name: str, value: str
) -> None:
    chosen = mailer if how == "smtp" else FolderMailer(tmp_path, clock, sender=SENDER)
    refused = refusal(run, chosen, replace(MAIL, **{name: value}))
    assert isinstance(refused, Invalid)
    assert refused.code == "MAIL_REFUSED"
    assert server.mails == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [550, 553])
def test_a_permanent_refusal_is_invalid(run: Run, mailer: Mailer, code: int) -> None:
    refused = refusal(run, mailer, replace(MAIL, to=f"refuse-{code}@learner.example"))
    assert isinstance(refused, Invalid)
    assert (refused.code, refused.params) == ("MAIL_REFUSED", {"reason": str(code)})


@pytest.mark.parametrize("code", [450, 451, 452])
def test_a_temporary_refusal_may_be_repeated(run: Run, mailer: Mailer, server: SmtpSimulator, code: int) -> None:
    server.refusal = f"{code} 4.3.0 try later"
    assert refusal(run, mailer, MAIL).code == "MAIL_UNAVAILABLE"
    server.refusal = None
    run(mailer.send(MAIL))
    assert len(server.mails) == 1


@pytest.mark.parametrize(("answer", "code"), [("554 spam", "MAIL_REFUSED"), ("452 full", "MAIL_UNAVAILABLE")])
def test_content_may_be_refused_too(run: Run, mailer: Mailer, server: SmtpSimulator, answer: str, code: str) -> None:
    server.data_refusal = answer
    assert refusal(run, mailer, MAIL).code == code


def test_a_server_that_cannot_write_an_address_refuses_it_for_good(
    run: Run, mailer: Mailer, server: SmtpSimulator
) -> None:
    refused = refusal(run, mailer, replace(MAIL, to="jürgen@learner.example"))
    assert (refused.code, refused.params) == ("MAIL_REFUSED", {"reason": "address"})


def test_a_login_is_used_and_a_wrong_one_is_our_own_fault(run: Run, clock: SetClock) -> None:
    simulator = SmtpSimulator(login=("edurise", "right"))
    simulator.start()
    try:
        right = settings(simulator.port, username="edurise", password="right")
        run(SmtpMailer(right, clock).send(MAIL))
        wrong = SmtpMailer(replace(right, password="wrong"), clock)
        assert refusal(run, wrong, MAIL).code == "MAIL_UNAVAILABLE"
    finally:
        simulator.stop()
    assert len(simulator.mails) == 1


def test_starttls_is_never_given_up_silently(run: Run, server: SmtpSimulator, clock: SetClock) -> None:
    strict = SmtpMailer(settings(server.port, tls="starttls"), clock)
    assert refusal(run, strict, MAIL).code == "MAIL_UNAVAILABLE"
    assert server.mails == []


def test_a_silent_server_costs_one_time_out_each_until_the_circuit_opens(run: Run, clock: SetClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        breaker = CircuitBreaker("smtp", failures=2, now=lambda: 0.0)
        mailer = SmtpMailer(settings(silent.getsockname()[1], timeout_s=0.05), clock, breaker=breaker)
        for _ in range(2):
            refused = refusal(run, mailer, MAIL)
            assert isinstance(refused, Upstream)
            assert refused.retry_after_s is None
        assert refusal(run, mailer, MAIL).retry_after_s == pytest.approx(20.0)


def test_refused_recipients_do_not_open_the_circuit(run: Run, mailer: Mailer, server: SmtpSimulator) -> None:
    for _ in range(10):
        refusal(run, mailer, replace(MAIL, to="refuse-451@learner.example"))
    run(mailer.send(MAIL))
    assert len(server.mails) == 1


@pytest.mark.parametrize("how", ["tls", "starttls"])
def test_mail_is_encrypted_for_the_right_server_only(
    run: Run, clock: SetClock, certificate: tuple[Path, Path], how: str
) -> None:
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(*certificate)
    simulator = SmtpSimulator(**{how: server_side})
    simulator.start()
    try:
        known = ssl.create_default_context(cafile=certificate[0])
        run(SmtpMailer(settings(simulator.port, tls=how), clock, trust=known).send(MAIL))
        stranger = SmtpMailer(settings(simulator.port, tls=how), clock)
        assert refusal(run, stranger, MAIL).code == "MAIL_UNAVAILABLE"
    finally:
        simulator.stop()
    assert len(simulator.mails) == 1


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mx.example", ("mx.example", 25, None, None, "none")),
        ("smtp+starttls://u:p%40ss@mx.example", ("mx.example", 587, "u", "p@ss", "starttls")),
        ("smtps://u%40d:p@mx.example:4650", ("mx.example", 4650, "u@d", "p", "tls")),
    ],
)
def test_settings_are_read_from_a_url(url: str, expected: tuple[object, ...]) -> None:
    found = smtp_settings(url, sender=SENDER)
    assert (found.host, found.port, found.username, found.password, found.tls) == expected
    assert "p@ss" not in repr(found)


@pytest.mark.parametrize(
    "url", ["http://mx.example", "mx.example:25", "smtp://", "smtp://u:p@mx.example", "smtps://h:x"]
)
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        smtp_settings(url, sender=SENDER)


def test_a_folder_holds_one_file_for_each_message_id(run: Run, clock: SetClock, tmp_path: Path) -> None:
    folder = tmp_path / "mails"
    mailer = FolderMailer(folder, clock, sender=SENDER)
    run(mailer.send(MAIL))
    run(mailer.send(replace(MAIL, message_id="another@school.example")))
    clock.advance(timedelta(hours=1))
    run(mailer.send(replace(MAIL, subject="again")))
    assert len(list(folder.iterdir())) == 2
    found = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in sorted(folder.glob("*.eml"))]
    again = next(message for message in found if message["Message-ID"] == f"<{MAIL.message_id}>")
    assert again["Subject"] == "again"


def test_a_file_of_the_folder_is_the_mail(run: Run, clock: SetClock, tmp_path: Path) -> None:
    run(FolderMailer(tmp_path, clock, sender=SENDER).send(MAIL))
    (file,) = tmp_path.iterdir()
    assert file.name.startswith("0199c0de-tell-the-buyer-school-example-")
    check(message_from_bytes(file.read_bytes(), policy=policy.default))


def test_ids_that_look_alike_are_two_files(run: Run, clock: SetClock, tmp_path: Path) -> None:
    mailer = FolderMailer(tmp_path, clock, sender=SENDER)
    run(mailer.send(replace(MAIL, message_id="a.b@school.example")))
    run(mailer.send(replace(MAIL, message_id="a-b@school.example")))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_written_may_be_repeated(run: Run, clock: SetClock, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert refusal(run, FolderMailer(blocked, clock, sender=SENDER), MAIL).code == "MAIL_UNAVAILABLE"
