"""Bodies and answers of signing in elsewhere."""

from __future__ import annotations

from schemas.base import Bool, Id, Instant, ListOf, Nested, OutSchema, QuerySchema, StrictSchema, Text
from schemas.identity import LoginOut, TokensOut

LOCAL_PATH = r"/(?:[!-\.0-\[\]-~][!-\[\]-~]*)?"
"""A path below the user interface's own root: ``//`` and a backslash lead to another host."""
S256 = r"[A-Za-z0-9_-]{43}"


class GoogleIn(StrictSchema):
    """An access token of Google; a code of who has a second factor here."""

    access_token = Text(min=1, max=4096, required=True)
    otp = Text(max=40, load_default=None, allow_none=True)


class GoogleOut(LoginOut):
    """As a log-in; the tokens also where the client reads them."""

    tokens = Nested(TokensOut)


class StartQuery(QuerySchema):
    """Where to go on afterwards, and the S256 of a secret that ``finish`` must be given."""

    next = Text(max=500, pattern=LOCAL_PATH, load_default="", description="A path of the user interface.")
    challenge = Text(max=43, pattern=S256, load_default="", description="base64url(SHA-256(secret)).")


class CallbackQuery(QuerySchema):
    """What a provider sends back by the browser: a code, or an error."""

    state = Text(max=200, load_default="")
    code = Text(max=4096, load_default="")
    iss = Text(max=1000, load_default=None, allow_none=False)


class FinishIn(StrictSchema):
    """The code of the page that the browser came to, and the secret whose challenge the way began with."""

    code = Text(min=1, max=200, required=True)
    secret = Text(max=200, load_default="")
    otp = Text(max=40, load_default=None, allow_none=True)


class ConfirmIn(StrictSchema):
    """The token of a mailed link."""

    token = Text(min=1, max=200, required=True)


class OfferedQuery(QuerySchema):
    """The organization, by subdomain or id; without one that of the Host."""

    subdomain = Text(max=63, load_default=None, allow_none=False)
    organization = Id(words=("main",), load_default=None, allow_none=False)


class OfferedProviderOut(OutSchema):
    """A provider, for the button."""

    id = Id()
    name = Text()


class OfferedOut(OutSchema):
    """How one may sign in beside the password."""

    providers = ListOf(Nested(OfferedProviderOut), max=10_000)
    google = Bool()


class ProviderIn(StrictSchema):
    """A provider. Without ``client_secret`` we are a public client there; PKCE is used in any case."""

    name = Text(min=1, max=100, required=True)
    issuer = Text(min=1, max=500, required=True)
    client_id = Text(min=1, max=255, required=True)
    client_secret = Text(max=1000, load_default=None, allow_none=True, strip=False)
    is_active = Bool(load_default=True)


class ProviderPatch(StrictSchema):
    """What of a provider is to change."""

    name = Text(min=1, max=100)
    issuer = Text(min=1, max=500)
    client_id = Text(min=1, max=255)
    client_secret = Text(max=1000, allow_none=True, strip=False)
    is_active = Bool()


class ProviderOut(OutSchema):
    """A provider as administrators see it; its secret is shown to nobody. ``redirect_uri`` is to be registered with
    it."""

    id = Id()
    name = Text()
    issuer = Text(max=500)
    client_id = Text()
    has_client_secret = Bool()
    is_active = Bool()
    redirect_uri = Text(max=1000)
    created_at = Instant()
    updated_at = Instant()


class FaultOut(OutSchema):
    """What is wrong with a provider."""

    code = Text()
    message = Text(max=500)


class CheckOut(OutSchema):
    """Whether a provider answers as it should."""

    ok = Bool()
    faults = ListOf(Nested(FaultOut), max=20)
