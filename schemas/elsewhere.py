"""Signing in with an account elsewhere."""

from __future__ import annotations

from schemas.base import Nested, StrictSchema, Text
from schemas.identity import LoginOut, TokensOut


class GoogleIn(StrictSchema):
    """An access token of Google; a code of who has a second factor here."""

    access_token = Text(min=1, max=4096, required=True)
    otp = Text(max=40, load_default=None, allow_none=True)


class GoogleOut(LoginOut):
    """As a log-in; the tokens also where the client reads them."""

    tokens = Nested(TokensOut)
