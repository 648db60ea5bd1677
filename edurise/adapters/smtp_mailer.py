"""Mail over SMTP (RFC 5321), one connection per message."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

import aiosmtplib

from edurise.adapters.mime import compose, domain_of
from edurise.adapters.resilience import CircuitBreaker, CircuitOpenError, RetryBudget, call
from edurise.errors import DomainError, Invalid, Upstream
from edurise.notifications.ports import Mail
from edurise.ports import Clock

Tls = Literal["none", "starttls", "tls"]
_SCHEMES: dict[str, tuple[Tls, int]] = {"smtp": ("none", 25), "smtp+starttls": ("starttls", 587), "smtps": ("tls", 465)}


@dataclass(frozen=True)
class SmtpSettings:
    """Where and how mail is handed over; ``sender`` is ``Name <address>``, ``timeout_s`` bounds the whole hand-over."""

    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)
    tls: Tls
    timeout_s: float
    sender: str


def smtp_settings(url: str, *, sender: str, timeout_s: float = 20.0) -> SmtpSettings:
    """Read ``scheme://[user:password@]host[:port]``; the scheme is ``smtp`` (plain), ``smtp+starttls`` or ``smtps``.

    Raises ValueError for another scheme, a missing host, a bad port, or a password that would travel in clear to
    another machine.
    """
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError("must be smtp://, smtp+starttls:// or smtps:// and name a host")
    tls, port = _SCHEMES[parts.scheme]
    if parts.username and tls == "none" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        raise ValueError("a password needs smtp+starttls:// or smtps://")
    return SmtpSettings(
        host=parts.hostname,
        port=parts.port or port,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tls,
        timeout_s=timeout_s,
        sender=sender,
    )


class SmtpMailer:
    """Tries once, for its callers are actors, whose deliveries are repeated.

    The breaker spares them the wait for a server that does not answer.
    """

    def __init__(
        self,
        settings: SmtpSettings,
        clock: Clock,
        *,
        breaker: CircuitBreaker | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """``trust`` decides which server is believed, for one with a certificate of a private authority."""
        self._settings = settings
        self._clock = clock
        self._trust = trust
        self._breaker = breaker or CircuitBreaker("smtp")
        self._budget = RetryBudget()

    async def send(self, mail: Mail) -> None:
        settings = self._settings
        message = compose(mail, sender=settings.sender, at=self._clock.now())

        async def hand_over() -> None:
            await aiosmtplib.send(
                message,
                recipients=[mail.to],
                hostname=settings.host,
                port=settings.port,
                username=settings.username,
                password=settings.password,
                # The sender's domain instead of the machine's name, which the library would ask DNS for.
                local_hostname=domain_of(settings.sender),
                timeout=settings.timeout_s,
                use_tls=settings.tls == "tls",
                start_tls=settings.tls == "starttls",
                tls_context=self._trust,
            )

        try:
            await call(
                hand_over,
                timeout_s=settings.timeout_s,
                attempts=1,
                breaker=self._breaker,
                budget=self._budget,
                retry_on=lambda refused: isinstance(refused, OSError),
            )
        except CircuitOpenError as refused:
            raise Upstream("MAIL_UNAVAILABLE", retry_after_s=refused.retry_after_s) from refused
        except (aiosmtplib.SMTPException, OSError) as refused:  # a time-out is an OSError
            raise _translated(refused, mail) from refused


def _translated(refused: Exception, mail: Mail) -> DomainError:
    """A permanent refusal of this message is Invalid; whatever may pass, or is our own set-up, can be repeated."""
    if isinstance(refused, aiosmtplib.SMTPRecipientsRefused):
        code = refused.recipients[0].code
    elif isinstance(refused, aiosmtplib.SMTPSenderRefused | aiosmtplib.SMTPDataError):
        code = refused.code
    elif isinstance(refused, aiosmtplib.SMTPNotSupported) and not mail.to.isascii():
        return Invalid("MAIL_REFUSED", reason="address")
    else:
        return Upstream("MAIL_UNAVAILABLE")
    return Invalid("MAIL_REFUSED", reason=str(code)) if code >= 500 else Upstream("MAIL_UNAVAILABLE")
