"""From a Mail to an RFC 5322 message, the same for every way of sending it."""

from __future__ import annotations

import re
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from edurise.errors import Invalid
from edurise.notifications.ports import Mail

# 7-bit bodies pass every server; header lines end in CRLF as the wire wants them.
_POLICY = SMTP.clone(cte_type="7bit")
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,200}@[A-Za-z0-9.-]{1,250}>")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*")


def compose(mail: Mail, *, sender: str, at: datetime) -> EmailMessage:
    """Return the message; ``sender`` is ``Name <address>``.

    Raises Invalid("MAIL_REFUSED") for anything in a header that could start another header or address another person.
    """
    language = _language(mail.language)
    message = EmailMessage(policy=_POLICY)
    message["From"] = _mailbox(sender, "sender")
    message["To"] = _bare_address(mail.to)
    message["Subject"] = _one_line(mail.subject, "subject")
    message["Message-ID"] = _bracketed(mail.message_id)
    message["Date"] = format_datetime(at)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: holiday responders stay silent
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    message["Content-Language"] = language  # last: a body that is set takes the Content- headers before it away
    return message


def domain_of(sender: str) -> str:
    """The domain of ``Name <address>``."""
    return _mailbox(sender, "sender").domain


def _mailbox(value: str, what: str) -> Address:
    name, address = parseaddr(_one_line(value, what))
    bare = _bare_address(address)
    return Address(display_name=name, username=bare.username, domain=bare.domain)


def _bare_address(value: str) -> Address:
    _one_line(value, "address")
    try:
        # addr_spec takes exactly one address; a list or a display name is an error, not a second recipient.
        found = Address(addr_spec=value)
    except (ValueError, IndexError, MessageError):  # the parser's own ways of failing
        raise Invalid("MAIL_REFUSED", reason="address") from None
    if not found.username or not found.domain or found.addr_spec != value:
        raise Invalid("MAIL_REFUSED", reason="address")
    return found


def _one_line(value: str, what: str) -> str:
    """Refuse whatever any reader of mail takes for the end of a line, and NUL."""
    if len(value.splitlines()) > 1 or value != value.rstrip("\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029") or "\0" in value:
        raise Invalid("MAIL_REFUSED", reason=what)
    return value


def _bracketed(message_id: str) -> str:
    full = message_id if message_id.startswith("<") else f"<{message_id}>"
    if not _MESSAGE_ID.fullmatch(full):
        raise Invalid("MAIL_REFUSED", reason="message_id")
    return full


def _language(tag: str) -> str:
    if not _LANGUAGE.fullmatch(tag):
        raise Invalid("MAIL_REFUSED", reason="language")
    return tag.replace("_", "-")
