"""An OpenID Connect provider that lies in every way that its protocol allows, and in some that it does not.

``sim = OidcSimulator(clock)``, ``await sim.start()``, ``sim.issuer``, ``await sim.stop()``. A test begins a sign-in,
takes the parameters of the authorization request to ``sim.grant`` and brings the code back. What goes wrong is set in
``sim.plan``.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from joserfc import jws, jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from edurise.ports import Clock

_KEYS = {name: RSAKey.generate_key(2048) for name in ("first", "second", "stranger")}
_CURVES = {
    "ES256": ECKey.generate_key("P-256"),
    "EdDSA": OKPKey.generate_key("Ed25519"),
    "Ed25519": OKPKey.generate_key("Ed25519"),
}


@dataclass
class Plan:
    """What the provider does wrong; as made, nothing."""

    issuer: str | None = None
    discovery: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    """Claims of the ID token in the place of the true ones; None leaves one out."""
    userinfo: dict[str, Any] | None = None
    algorithm: str = "RS256"
    key: str = "first"
    kid: str | None = "first"
    published: tuple[str, ...] = ("first",)
    size: int = 0
    """Bytes of blanks after each answer's JSON."""
    redirect: bool = False
    silent: bool = False
    status: int = 200
    encoding: str = ""
    token_status: int = 200


class OidcSimulator:
    """One issuer on 127.0.0.1."""

    def __init__(self, clock: Clock, client_id: str = "edurise", client_secret: str | None = "s3cret") -> None:
        self.clock = clock
        self.client_id = client_id
        self.client_secret = client_secret
        self.plan = Plan()
        self.asked: Counter[str] = Counter()
        self.grants: dict[str, dict[str, Any]] = {}
        self.issuer = ""
        self._gone = asyncio.Event()

    async def start(self, port: int = 0) -> None:
        """Listen; port 0 takes a free one."""
        routes = [
            (r"/\.well-known/openid-configuration", DiscoveryHandler),
            (r"/keys", KeysHandler),
            (r"/token", TokenHandler),
            (r"/userinfo", UserinfoHandler),
        ]
        application = Application([(path, one, {"sim": self}) for path, one in routes], log_function=lambda _: None)
        sockets = bind_sockets(port, "127.0.0.1")
        self._server = HTTPServer(application)
        self._server.add_sockets(sockets)
        self.issuer = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._gone.set()
        self._server.stop()
        await self._server.close_all_connections()

    async def wait_until_gone(self) -> None:
        """What a silent provider does."""
        await self._gone.wait()

    def grant(self, asked: dict[str, str], subject: str, email: str | None, **claims: Any) -> str:
        """A code for somebody who came with an authorization request, as after a log-in here."""
        code = secrets.token_urlsafe(16)
        self.grants[code] = {
            "nonce": asked["nonce"],
            "challenge": asked["code_challenge"],
            "redirect_uri": asked["redirect_uri"],
            "person": {
                "sub": subject,
                "email": email,
                "email_verified": email is not None,
                "given_name": "Alan",
                **claims,
            },
        }
        return code

    def id_token(self, grant: dict[str, Any]) -> str:
        """By the plan."""
        now = int(self.clock.now().timestamp())
        claims = {
            "iss": self.plan.issuer or self.issuer,
            "aud": self.client_id,
            "iat": now,
            "exp": now + 300,
            "nonce": grant["nonce"],
            **grant["person"],
            **self.plan.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.plan.algorithm} | ({"kid": self.plan.kid} if self.plan.kid else {})
        if self.plan.algorithm in ("none", "HS256"):
            return self._unsigned(header, claims)
        registry = jws.JWSRegistry(algorithms=[self.plan.algorithm])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # of the name EdDSA, which providers still write
            return jwt.encode(header, claims, self._key(), registry=registry)

    def _unsigned(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """By nobody, or by the public key as if it were a secret; the library refuses to make either."""
        signed = b".".join(_base64(json.dumps(one).encode()) for one in (header, claims))
        secret = _KEYS["first"].as_pem(private=False)
        tag = b"" if header["alg"] == "none" else _base64(hmac.digest(secret, signed, "sha256"))
        return (signed + b"." + tag).decode()

    def keys(self) -> dict[str, Any]:
        """What is published."""
        listed = [{**_KEYS[name].as_dict(private=False), "kid": name, "use": "sig"} for name in self.plan.published]
        return {"keys": listed + [{**one.as_dict(private=False), "kid": kid} for kid, one in _CURVES.items()]}

    def _key(self) -> Any:
        if self.plan.algorithm in _CURVES:
            return _CURVES[self.plan.algorithm]
        return _KEYS[self.plan.key]


def _base64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


class _Handler(RequestHandler):
    def initialize(self, sim: OidcSimulator) -> None:
        self.sim = sim

    async def prepare(self) -> None:
        self.sim.asked[self.request.path] += 1
        if self.sim.plan.silent:
            await self.sim.wait_until_gone()
        if self.sim.plan.redirect:
            self.redirect("/elsewhere" + self.request.path, status=302)
        elif self.sim.plan.status != 200:
            self.send(self.sim.plan.status, {"error": "server_error"})

    def send(self, status: int, body: dict[str, Any]) -> None:
        self.set_status(status)
        if self.sim.plan.encoding:
            self.set_header("Content-Encoding", self.sim.plan.encoding)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(body).encode() + b" " * self.sim.plan.size)


class DiscoveryHandler(_Handler):
    def get(self) -> None:
        at = self.sim.issuer
        found = {
            "issuer": at,
            "authorization_endpoint": f"{at}/authorize",
            "token_endpoint": f"{at}/token",
            "jwks_uri": f"{at}/keys",
            "userinfo_endpoint": f"{at}/userinfo",
        } | self.sim.plan.discovery
        self.send(200, {name: value for name, value in found.items() if value is not None})


class KeysHandler(_Handler):
    def get(self) -> None:
        self.send(200, self.sim.keys())


class TokenHandler(_Handler):
    def post(self) -> None:
        sim = self.sim
        if sim.plan.token_status != 200:
            self.send(sim.plan.token_status, {"error": "invalid_grant"})
            return
        grant = sim.grants.pop(self.get_body_argument("code"), None)
        verifier = self.get_body_argument("code_verifier", "")
        digest = _base64(hashlib.sha256(verifier.encode()).digest()).decode()
        if (
            grant is None
            or digest != grant["challenge"]
            or self.get_body_argument("redirect_uri") != grant["redirect_uri"]
            or not self._knows_the_client()
        ):
            self.send(400, {"error": "invalid_grant"})
            return
        access = secrets.token_urlsafe(16)
        sim.grants[access] = grant
        self.send(200, {"access_token": access, "token_type": "Bearer", "id_token": sim.id_token(grant)})

    def _knows_the_client(self) -> bool:
        if self.sim.client_secret is None:
            return self.get_body_argument("client_id", "") == self.sim.client_id
        given = self.request.headers.get("Authorization", "").removeprefix("Basic ")
        pair = base64.b64decode(given).decode().split(":", 1)
        return [unquote_plus(one) for one in pair] == [self.sim.client_id, self.sim.client_secret]


class UserinfoHandler(_Handler):
    def get(self) -> None:
        token = self.request.headers.get("Authorization", "").removeprefix("Bearer ")
        person = self.sim.grants[token]["person"]
        self.send(200, person if self.sim.plan.userinfo is None else person | self.sim.plan.userinfo)
