"""Identity providers that tests set up, the browser that goes to them and back, and the real one."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import httpx
from sqlalchemy import text

from edurise.adapters.clock import SetClock
from edurise.adapters.provision import DatabaseUrls
from edurise.container import build
from edurise.db import Urls
from tests.harness.client import Answer
from tests.harness.machine import require
from tests.harness.services import OwnService
from tests.harness.world import Someone, World
from tests.simulators.oidc import OidcSimulator

JS = Path(__file__).resolve().parent / "oidc_js"
PORT = 22300
INSTALL_S = 180
AUTH = "/api/v1/accounts/auth"
SETUP = "/api/v1/organizations/current/identity-providers"


class OwnProvider(OwnService):
    """npm's ``oidc-provider``, in its own process."""

    name = "oidc-provider"

    @property
    def url(self) -> str:
        """Its issuer."""
        return f"http://127.0.0.1:{self.port}"

    def _prepare(self) -> None:
        super()._prepare()
        if (self.directory / "node_modules").exists():
            return
        for name in ("package.json", "package-lock.json", "provider.js"):
            shutil.copy(JS / name, self.directory)
        command = [require("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(command, cwd=self.directory, check=True, timeout=INSTALL_S, capture_output=True)

    def _command(self) -> Sequence[str]:
        return [require("node"), str(self.directory / "provider.js"), str(self.port)]

    def _answers(self) -> bool:
        try:
            found = httpx.get(f"{self.url}/.well-known/openid-configuration", timeout=5, trust_env=False)
        except httpx.HTTPError:
            return False
        return found.status_code == 200

    def _is_ours(self) -> bool:
        return f"listening as {self.url}" in self.log.read_text()


@contextlib.asynccontextmanager
async def in_the_present(world: World, database: DatabaseUrls, **changes: Any) -> AsyncIterator[World]:
    """A World on the same database whose clock shows the real time, for a provider that has no other."""
    clock = SetClock(datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1))
    urls = Urls(database.application, database.system)
    found = World(build(world.c.settings, urls, require("redis"), clock), clock)
    await found.start()
    try:
        yield found
    finally:
        await found.stop()


async def set_up(world: World, administrator: Someone, issuer: str, **values: Any) -> dict[str, Any]:
    """A provider of the administrator's organization, as the API shows it."""
    form = {"name": "Campus", "issuer": issuer, "client_id": "edurise", "client_secret": "s3cret", **values}
    made = await world.of(administrator).post(f"{SETUP}/", form)
    assert made.status == 201, made.content
    return made.data


@dataclass
class Browser:
    """Somebody's browser: its cookies of our server, by path."""

    world: World
    cookies: dict[str, tuple[str, str]] = field(default_factory=dict)

    async def get(self, path: str) -> Answer:
        """A page, with the cookies of its path."""
        sent = "; ".join(f"{name}={value}" for name, (value, at) in self.cookies.items() if path.startswith(at))
        answer = await self.world.anonymous.get(path, **({"Cookie": sent} if sent else {}))
        for line in answer.headers.get_list("Set-Cookie"):
            for name, one in SimpleCookie(line).items():
                self.cookies[name] = (one.value, one["path"])
        return answer

    async def start(self, provider: dict[str, Any], query: str = "") -> dict[str, str]:
        """Begin; returns the parameters of the authorization request, and the whole of it as ``url``."""
        answer = await self.get(f"{AUTH}/oidc/{provider['id']}/start/{query}")
        assert answer.status == 302, answer.content
        url = answer.headers["Location"]
        return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()} | {"url": url}

    async def come_back(self, provider: dict[str, Any], **query: str) -> dict[str, str]:
        """The callback; returns what the user interface is given."""
        at = f"{AUTH}/oidc/{provider['id']}/callback/"
        return landed(self.world, await self.get(str(httpx.URL(at, params=query))))

    async def finish(self, found: dict[str, str], **more: str) -> Answer:
        return await self.world.anonymous.post(f"{AUTH}/oidc/finish/", {"code": found.get("code", "none"), **more})


def landed(world: World, answer: Answer) -> dict[str, str]:
    """What stands in the address of the user interface that an answer leads to."""
    assert answer.status == 302, answer.content
    url = answer.headers["Location"]
    assert url.startswith(f"{world.c.settings.ui_url}/auth/oidc?"), url
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def log_in_at(url: str, login: str, until: str) -> str:
    """Go through the pages of the real provider as a person does, to where it sends the browser back; returns that URL,
    which begins with ``until``."""
    async with httpx.AsyncClient(trust_env=False, timeout=20) as browser:
        answer = await browser.get(url)
        for _ in range(12):
            if answer.is_redirect:
                onwards = str(answer.url.join(answer.headers["Location"]))
                if onwards.startswith(until):
                    return onwards
                answer = await browser.get(onwards)
                continue
            action = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
            prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
            assert action, answer.text
            assert prompt, answer.text
            form = {"prompt": prompt[1], "login": login, "password": "any"}
            answer = await browser.post(str(answer.url.join(action[1])), data=form)
    raise AssertionError(f"it never came back: {answer.url}")


async def register_client(issuer: str, redirect_uri: str, **more: Any) -> dict[str, Any]:
    """Register with the real provider (RFC 7591)."""
    form = {"redirect_uris": [redirect_uri], "response_types": ["code"], "grant_types": ["authorization_code"], **more}
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        answer = await client.post(f"{issuer}/reg", json=form)
    assert answer.status_code == 201, answer.text
    return answer.json()


def address() -> str:
    """A new one."""
    return f"{uuid4()}@example.org"


async def provider_of(world: World, sim: OidcSimulator, school: UUID) -> dict[str, Any]:
    """The simulator as a provider of an organization."""
    return await set_up(world, world.person("admin", school), sim.issuer)


async def arrive(
    world: World, sim: OidcSimulator, provider: dict[str, Any], subject: str, email: str | None
) -> dict[str, str]:
    """The whole way to the simulator and back; returns what the user interface is given."""
    browser = Browser(world)
    asked = await browser.start(provider)
    return await browser.come_back(provider, state=asked["state"], code=sim.grant(asked, subject, email))


def ask(world: World, statement: str, **values: Any) -> Any:
    """The first value that a statement finds, as the system role."""
    return world.c.db.system_sync(lambda session: session.execute(text(statement), values).scalar())
