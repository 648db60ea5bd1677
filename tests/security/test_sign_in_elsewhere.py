"""Attacks on signing in elsewhere, by name: lying providers, stolen and repeated steps, other people's accounts, and
what an organization's provider must never reach."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest

from edurise.adapters.oidc_client import OidcClient
from edurise.adapters.provision import DatabaseUrls
from edurise.errors import DomainError
from edurise.identity.issuers import is_public
from edurise.identity.ports import Relying
from tests.harness.providers import AUTH, SETUP, Browser, address, arrive, ask, provider_of, set_up
from tests.harness.world import World
from tests.harness.worlds import another
from tests.simulators.oidc import OidcSimulator, Plan

REFUSED = {"error": "SIGN_IN_REFUSED"}


@pytest.fixture
def school(world: World) -> UUID:
    return world.organization()


def is_there(world: World, email: str) -> bool:
    return ask(world, "SELECT true FROM people WHERE email_key = lower(:email)", email=email) is True


# -- providers that lie ------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(Plan(issuer="https://other.example"), id="wrong issuer"),
        pytest.param(Plan(claims={"aud": "somebody-else"}), id="wrong audience"),
        pytest.param(Plan(claims={"aud": ["edurise", "other"]}), id="two audiences and no authorized party"),
        pytest.param(Plan(claims={"azp": "somebody-else"}), id="another authorized party"),
        pytest.param(Plan(claims={"nonce": "of another sign-in"}), id="wrong nonce"),
        pytest.param(Plan(claims={"nonce": None}), id="no nonce"),
        pytest.param(Plan(algorithm="none"), id="alg none"),
        pytest.param(Plan(algorithm="HS256"), id="HS256 with the public key"),
        pytest.param(Plan(key="stranger"), id="signed by a stranger under a known kid"),
        pytest.param(Plan(key="stranger", kid="stranger"), id="unknown kid"),
        pytest.param(Plan(kid=None, published=("first", "second")), id="no kid among several keys"),
        pytest.param(Plan(claims={"exp": 1_000_000_000}), id="expired"),
        pytest.param(Plan(claims={"exp": None}), id="never expires"),
        pytest.param(Plan(claims={"exp": "9999999999"}), id="an expiry that is no number"),
        pytest.param(Plan(claims={"iat": 99_999_999_999}), id="of the future"),
        pytest.param(Plan(claims={"nbf": 99_999_999_999}), id="not valid yet"),
        pytest.param(Plan(claims={"sub": ""}), id="about nobody"),
        pytest.param(Plan(claims={"sub": ["a"]}), id="about a list"),
        pytest.param(Plan(claims={"email_verified": False}), id="address not verified"),
        pytest.param(Plan(claims={"email_verified": "true"}), id="verified as text"),
        pytest.param(Plan(claims={"email": None}, userinfo={"sub": "another"}), id="userinfo of somebody else"),
        pytest.param(Plan(claims={"email": "no address"}), id="no address"),
        pytest.param(Plan(token_status=401), id="client refused"),
    ],
)
async def test_a_token_that_does_not_hold_lets_nobody_in(
    world: World, sim: OidcSimulator, school: UUID, plan: Plan
) -> None:
    provider = await provider_of(world, sim, school)
    email = address()
    sim.plan = plan
    assert await arrive(world, sim, provider, str(uuid4()), email) == REFUSED
    assert not is_there(world, email)


@pytest.mark.gen_test
async def test_a_leeway_of_a_minute_is_all_that_an_expired_token_has(
    world: World, sim: OidcSimulator, school: UUID
) -> None:
    provider, now = await provider_of(world, sim, school), int(world.clock.now().timestamp())
    sim.plan = Plan(claims={"exp": now - 50})
    assert "code" in await arrive(world, sim, provider, str(uuid4()), address())
    sim.plan = Plan(claims={"exp": now - 61})
    assert await arrive(world, sim, provider, str(uuid4()), address()) == REFUSED


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(Plan(discovery={"issuer": "https://accounts.example"}), id="discovery of another issuer"),
        pytest.param(Plan(discovery={"authorization_endpoint": "javascript:alert(1)"}), id="script as an endpoint"),
        pytest.param(Plan(redirect=True), id="a redirect"),
        pytest.param(Plan(size=600_000), id="a huge answer"),
        pytest.param(Plan(encoding="gzip"), id="a compressed answer"),
        pytest.param(Plan(status=500), id="an error"),
        pytest.param(Plan(silent=True), id="silence"),
    ],
)
async def test_a_provider_that_does_not_behave_costs_little_and_sends_nobody(
    world: World, sim: OidcSimulator, plan: Plan
) -> None:
    sim.plan = plan
    client = OidcClient(world.clock, private_hosts=True, timeout_s=0.2)
    try:
        with pytest.raises(DomainError) as refused:
            await client._metadata(sim.issuer)
        assert refused.value.code == "PROVIDER_UNAVAILABLE"
        assert refused.value.__cause__ is None
    finally:
        await client.close()


@pytest.mark.gen_test
async def test_a_provider_that_fails_is_left_alone_and_others_are_not(world: World, sim: OidcSimulator) -> None:
    client = OidcClient(world.clock, private_hosts=True, timeout_s=2)
    good = OidcSimulator(world.clock)
    await good.start()
    sim.plan = Plan(status=503)
    before = sim.asked["/.well-known/openid-configuration"]
    try:
        for _ in range(8):
            assert await client.faults(sim.issuer) == ["provider_unreachable"]
        assert sim.asked["/.well-known/openid-configuration"] == before + 5
        assert await client.faults(good.issuer) == []
    finally:
        await client.close()
        await good.stop()


# -- steps that are stolen, repeated or forged -------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_state_replay(world: World, sim: OidcSimulator, school: UUID) -> None:
    provider, browser = await provider_of(world, sim, school), Browser(world)
    asked = await browser.start(provider)
    cookies = dict(browser.cookies)
    assert "code" in await browser.come_back(provider, state=asked["state"], code=sim.grant(asked, "1", address()))
    browser.cookies = cookies
    assert await browser.come_back(provider, state=asked["state"], code=sim.grant(asked, "2", address())) == REFUSED


@pytest.mark.gen_test
async def test_code_replay_and_two_uses_at_once(world: World, sim: OidcSimulator, school: UUID) -> None:
    found = await arrive(world, sim, await provider_of(world, sim, school), "1", address())
    answers = await asyncio.gather(*(Browser(world).finish(found) for _ in range(6)))
    assert sorted(one.status for one in answers) == [200] + [400] * 5
    assert {one.code for one in answers} == {None, "SIGN_IN_REFUSED"}
    assert (await Browser(world).finish(found)).code == "SIGN_IN_REFUSED"


@pytest.mark.gen_test
async def test_two_first_arrivals_at_once_are_one_person(world: World, sim: OidcSimulator, school: UUID) -> None:
    provider, email = await provider_of(world, sim, school), address()
    found = await asyncio.gather(*(arrive(world, sim, provider, "twin", email) for _ in range(4)))
    people = {(await Browser(world).finish(one)).data["user"]["id"] for one in found}
    assert len(people) == 1
    assert ask(world, "SELECT count(*) FROM external_identities WHERE person_id = :id", id=people.pop()) == 1


@pytest.mark.gen_test
async def test_login_csrf_by_another_browser_s_callback(world: World, sim: OidcSimulator, school: UUID) -> None:
    """The attacker's own sign-in, opened by the victim's browser; and it does not use up the rightful one."""
    provider, attacker, victim = await provider_of(world, sim, school), Browser(world), Browser(world)
    asked = await attacker.start(provider)
    await victim.start(provider)
    back = {"state": asked["state"], "code": sim.grant(asked, "1", address())}
    assert await victim.come_back(provider, **back) == REFUSED
    assert await Browser(world).come_back(provider, **back) == REFUSED
    forged = Browser(world, {name: ("guessed", at) for name, (_, at) in attacker.cookies.items()})
    assert await forged.come_back(provider, **back) == REFUSED
    assert "code" in await attacker.come_back(provider, **back)


@pytest.mark.gen_test
async def test_the_cookie_is_read_by_no_script_and_sent_nowhere_else(
    world: World, sim: OidcSimulator, school: UUID, database: DatabaseUrls
) -> None:
    provider = await provider_of(world, sim, school)
    path = f"{AUTH}/oidc/{provider['id']}/start/"
    plain = (await world.anonymous.get(path)).headers["Set-Cookie"]
    assert f"Path={AUTH}/oidc/{provider['id']}/callback/" in plain
    assert {"HttpOnly", "SameSite=Lax", "Max-Age=600"} <= {one.strip() for one in plain.split(";")}
    async with another(world, database, public_url="https://school.example") as secure:
        answer = await secure.anonymous.get(path)
        assert "Secure" in {one.strip() for one in answer.headers["Set-Cookie"].split(";")}
        assert "redirect_uri=https%3A%2F%2Fschool.example%2F" in answer.headers["Location"]
        assert (answer.headers["Referrer-Policy"], answer.headers["Cache-Control"]) == ("no-referrer", "no-store")


@pytest.mark.gen_test
async def test_mix_up_of_two_providers(world: World, sim: OidcSimulator, school: UUID) -> None:
    """An attacker's provider sends the victim on to an honest one; its code must not come to the attacker's."""
    honest = await provider_of(world, sim, school)
    evil = OidcSimulator(world.clock)
    await evil.start()
    try:
        attacker_s = await set_up(world, world.person("admin", world.organization()), evil.issuer)
        browser = Browser(world)
        asked = await browser.start(attacker_s)
        browser.cookies = {name: (value, "/") for name, (value, _) in browser.cookies.items()}
        code = sim.grant(asked, "victim", address())
        assert await browser.come_back(honest, state=asked["state"], code=code) == REFUSED
        back = {"state": asked["state"], "code": code, "iss": sim.issuer}
        assert await browser.come_back(attacker_s, **back) == REFUSED
        assert evil.asked["/token"] == 0
    finally:
        await evil.stop()


@pytest.mark.gen_test
async def test_a_provider_that_names_itself_must_do_so(world: World, sim: OidcSimulator, school: UUID) -> None:
    sim.plan = Plan(discovery={"authorization_response_iss_parameter_supported": True})
    provider = await provider_of(world, sim, school)
    assert await arrive(world, sim, provider, "1", address()) == REFUSED
    browser = Browser(world)
    asked = await browser.start(provider)
    back = {"state": asked["state"], "code": sim.grant(asked, "1", address()), "iss": sim.issuer}
    assert "code" in await browser.come_back(provider, **back)


@pytest.mark.gen_test
async def test_what_takes_too_long_is_over(world: World, sim: OidcSimulator, school: UUID) -> None:
    provider, browser = await provider_of(world, sim, school), Browser(world)
    asked = await browser.start(provider)
    code = sim.grant(asked, "1", address())
    world.clock.advance(timedelta(minutes=10, seconds=1))
    assert await browser.come_back(provider, state=asked["state"], code=code) == REFUSED
    found = await arrive(world, sim, provider, "2", address())
    world.clock.advance(timedelta(minutes=2, seconds=1))
    assert (await browser.finish(found)).code == "SIGN_IN_REFUSED"


@pytest.mark.gen_test
async def test_a_code_of_another_sign_in_fails_its_verifier(world: World, sim: OidcSimulator, school: UUID) -> None:
    """PKCE: a stolen code, brought into the thief's own sign-in."""
    provider, victim, thief = await provider_of(world, sim, school), Browser(world), Browser(world)
    stolen = sim.grant(await victim.start(provider), "victim", address())
    own = await thief.start(provider)
    assert await thief.come_back(provider, state=own["state"], code=stolen) == REFUSED


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/courses\\..\\//evil.example",
        "javascript:alert(1)",
        "courses",
        "/%0D%0ALocation:%20https://evil.example".replace("%0D%0A", "\r\n"),
        "/\t/evil.example",
        " //evil.example",
    ],
)
async def test_open_redirect(world: World, sim: OidcSimulator, school: UUID, target: str) -> None:
    provider = await provider_of(world, sim, school)
    answer = await world.anonymous.get(f"{AUTH}/oidc/{provider['id']}/start/?next={quote(target, safe='')}")
    assert (answer.status, list(answer.body["errors"])) == (400, ["next"])


@pytest.mark.gen_test
async def test_no_secret_of_a_sign_in_is_logged_or_stored_in_clear(
    world: World, sim: OidcSimulator, school: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    provider, browser = await provider_of(world, sim, school), Browser(world)
    asked = await browser.start(provider)
    secret = next(iter(browser.cookies.values()))[0]
    code = sim.grant(asked, "1", address())
    found = await browser.come_back(provider, state=asked["state"], code=code)
    row = ask(world, "SELECT row_to_json(s)::text FROM sign_ins s ORDER BY id DESC LIMIT 1")
    world.observer.flush()
    for one in (asked["state"], secret, code, found["code"], "s3cret"):
        assert one not in row
        assert one not in world.log.getvalue()
        assert one not in caplog.text


# -- requests to ourselves ---------------------------------------------------------------------------------------------


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "[fd00::1]"]
)
async def test_ssrf_by_an_address(world: World, database: DatabaseUrls, school: UUID, host: str) -> None:
    async with another(world, database, oidc_private_hosts=False) as strict:
        administrator = strict.of(strict.person("admin", school))
        for scheme in ("https", "http"):
            form = {"name": "X", "issuer": f"{scheme}://{host}/", "client_id": "x"}
            refused = await administrator.post(f"{SETUP}/", form)
            assert (refused.status, list(refused.body["errors"])) == (400, ["issuer"])


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "169.254.169.254",
        "::1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "0.0.0.0",  # noqa: S104 - an address to be refused
        "fe80::1%eth0",
    ],
)
async def test_ssrf_by_a_name_that_resolves_there(world: World, sim: OidcSimulator, address: str) -> None:
    asked: list[str] = []

    async def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return [address]

    client = OidcClient(world.clock, resolver=resolver, timeout_s=1)
    port = sim.issuer.rpartition(":")[2]
    before = sum(sim.asked.values())
    try:
        assert await client.faults(f"https://provider.example:{port}") == ["provider_unreachable"]
        assert asked == ["provider.example"] * 2
        assert not is_public(address)
        assert sum(sim.asked.values()) == before
    finally:
        await client.close()


@pytest.mark.gen_test
async def test_ssrf_by_an_endpoint_of_a_provider(world: World, sim: OidcSimulator, school: UUID) -> None:
    """A public issuer whose document points inside: each connection is looked at, not only the first."""
    client = OidcClient(world.clock, timeout_s=1)
    known = client._known("https://provider.example")
    inside = dict.fromkeys(("token_endpoint", "jwks_uri", "userinfo_endpoint"), "https://169.254.169.254/latest")
    known.metadata, known.metadata_at = {"issuer": "https://provider.example", **inside}, client._now()
    try:
        with pytest.raises(DomainError) as refused:
            await client._keys("https://provider.example", known.metadata)
        assert refused.value.code == "PROVIDER_UNAVAILABLE"
        assert repr(Relying("https://provider.example", "id", "s3cret")).count("s3cret") == 0
    finally:
        await client.close()
