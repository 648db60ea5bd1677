"""Signing in elsewhere as it should go: by an organization's provider; a real one among them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from edurise.adapters.provision import DatabaseUrls
from edurise.identity.models import Credential, Person
from edurise.identity.proofs import ExternalIdentity, MailedLink
from tests.harness.errands import run_actors
from tests.harness.providers import (
    AUTH,
    PORT,
    SETUP,
    Browser,
    OwnProvider,
    address,
    arrive,
    in_the_present,
    landed,
    log_in_at,
    provider_of,
    register_client,
    set_up,
)
from tests.harness.services import scratch
from tests.harness.world import Someone, World
from tests.harness.worlds import another
from tests.simulators.oidc import OidcSimulator, Plan


@pytest.fixture(scope="module")
def real() -> Iterator[OwnProvider]:
    with scratch() as directory, OwnProvider(directory, PORT) as running:
        yield running


def person_of(world: World, email: str) -> Person | None:
    return world.c.db.system_sync(
        lambda session: session.scalars(select(Person).where(Person.email_key == email.lower())).one_or_none()
    )


def identities_of(world: World, person_id: UUID) -> list[ExternalIdentity]:
    query = select(ExternalIdentity).where(ExternalIdentity.person_id == person_id)
    return world.c.db.system_sync(lambda session: list(session.scalars(query)))


def make_alone(world: World, person_id: UUID) -> None:
    """As an account that an organization made for somebody: no password."""

    def forget(session: Session) -> None:
        session.delete(session.get_one(Credential, person_id))

    world.c.db.system_sync(forget)


# -- a real provider ---------------------------------------------------------------------------------------------------


@pytest.mark.gen_test(timeout=240)
@pytest.mark.parametrize("method", ["client_secret_basic", "none"])
async def test_somebody_new_comes_by_a_real_provider(
    world: World, database: DatabaseUrls, real: OwnProvider, method: str
) -> None:
    async with in_the_present(world, database) as here:
        school = here.organization()
        administrator = here.person("admin", school)
        provider = await set_up(here, administrator, real.url)
        client = await register_client(real.url, provider["redirect_uri"], token_endpoint_auth_method=method)
        change = {"client_id": client["client_id"], "client_secret": client.get("client_secret")}
        changed = await here.of(administrator).patch(f"{SETUP}/{provider['id']}/", change)
        assert changed.data["has_client_secret"] is (method != "none")
        checked = await here.of(administrator).post(f"{SETUP}/{provider['id']}/check/")
        assert checked.data == {"ok": True, "faults": []}
        email = address()
        tokens = []
        for _ in range(2):  # the second time they are known
            browser = Browser(here)
            asked = await browser.start(provider, "?next=/courses%3Fpage=2")
            back = await log_in_at(asked["url"], email, provider["redirect_uri"])
            found = landed(here, await browser.get(back.removeprefix(here.base_url)))
            assert found.keys() == {"code", "next"}
            assert found["next"] == "/courses?page=2"
            tokens.append((await browser.finish(found)).data)
        assert tokens[0]["user"]["id"] == tokens[1]["user"]["id"]
        user = tokens[0]["user"]
        assert (user["email"], user["full_name"], user["role"]) == (email, "Grace Elsewhere", "student")
        assert user["organization"]["id"] == str(school)
        assert (await here.anonymous.as_(tokens[1]["access"]).get("/api/v1/users/me/")).status == 200
        made = person_of(here, email)
        assert made is not None
        assert made.email_verified_at is None


@pytest.mark.gen_test(timeout=240)
async def test_an_address_that_a_real_provider_did_not_verify_lets_nobody_in(
    world: World, database: DatabaseUrls, real: OwnProvider
) -> None:
    async with in_the_present(world, database) as here:
        administrator = here.person("admin", here.organization())
        provider = await set_up(here, administrator, real.url)
        client = await register_client(real.url, provider["redirect_uri"])
        change = {name: client[name] for name in ("client_id", "client_secret")}
        await here.of(administrator).patch(f"{SETUP}/{provider['id']}/", change)
        browser = Browser(here)
        asked = await browser.start(provider)
        back = await log_in_at(asked["url"], f"unverified-{address()}", provider["redirect_uri"])
        assert landed(here, await browser.get(back.removeprefix(here.base_url))) == {"error": "SIGN_IN_REFUSED"}


# -- whom an organization's provider lets in ---------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_member_who_was_switched_off_or_removed_stays_out(world: World, sim: OidcSimulator) -> None:
    school = world.organization()
    administrator = world.person("admin", school)
    provider = await set_up(world, administrator, sim.issuer)
    email = address()
    first = await Browser(world).finish(await arrive(world, sim, provider, "s-1", email))
    person_id = first.data["user"]["id"]
    where = {"person": person_id, "tenant": str(school)}
    for statement, expected in (
        ("UPDATE memberships SET is_active = false WHERE person_id = :person AND tenant_id = :tenant", "MEMBERSHIP_SUSPENDED"),
        ("DELETE FROM memberships WHERE person_id = :person AND tenant_id = :tenant", "SIGN_IN_REFUSED"),
    ):  # fmt: skip
        waiting = await arrive(world, sim, provider, "s-1", email) if "UPDATE" in statement else {}
        world.c.db.system_sync(lambda session, how=statement: session.execute(text(how), where))
        assert await arrive(world, sim, provider, "s-1", email) == {"error": expected}
        late = await Browser(world).finish(waiting)  # the code was good when it was given
        assert late.code == (expected if waiting else "SIGN_IN_REFUSED")


@pytest.mark.gen_test
async def test_a_member_without_any_other_way_in_is_linked_at_once(world: World, sim: OidcSimulator) -> None:
    school = world.organization()
    provider = await set_up(world, world.person("admin", school), sim.issuer)
    member = world.person("teacher", school)
    make_alone(world, member.id)
    found = await Browser(world).finish(
        await arrive(world, sim, provider, "s-2", member.email.upper().replace("EXAMPLE.ORG", "example.org"))
    )
    assert (found.data["user"]["id"], found.data["user"]["role"]) == (str(member.id), "teacher")
    assert [one.linked_at is not None for one in identities_of(world, member.id)] == [True]


@pytest.mark.gen_test
async def test_who_has_an_account_is_asked_by_mail_and_then_comes_in(world: World, sim: OidcSimulator) -> None:
    school, elsewhere = world.organization("Harbour"), world.organization()
    provider = await set_up(world, world.person("admin", school), sim.issuer)
    member = world.person("admin", elsewhere)
    assert await arrive(world, sim, provider, "s-3", member.email) == {"error": "SIGN_IN_LINK_MAILED"}
    assert await run_actors(world, "account_mails.mail_an_identity_link") >= 1
    token = mailed_token(world, member)
    assert (await world.anonymous.post(f"{AUTH}/identities/confirm/", {"token": token})).status == 200
    again = await world.anonymous.post(f"{AUTH}/identities/confirm/", {"token": token})
    assert (again.status, again.code) == (400, "MAILED_LINK_INVALID")
    found = (await Browser(world).finish(await arrive(world, sim, provider, "s-3", member.email))).data
    assert (found["user"]["id"], found["user"]["role"]) == (str(member.id), "student")
    mine = world.anonymous.as_(found["access"], X_Tenant_ID=str(elsewhere))
    assert (await mine.get("/api/v1/users/me/")).body["organization"]["id"] == str(school)


def mailed_token(world: World, person: Someone) -> str:
    """The token of the newest link that a person was mailed, read from the mail."""
    folder = world.c.settings.data_dir / "mail"
    newest = max(
        (path for path in folder.rglob("*.eml") if f"To: {person.email}".encode() in path.read_bytes()),
        key=lambda path: path.stat().st_mtime_ns,
    )
    message = message_from_bytes(newest.read_bytes(), policy=policy.default)
    words = message.get_body(("plain",)).get_content()
    assert "Harbour" in words
    link = next(word for word in words.split() if "/auth/link?token=" in word)
    return parse_qs(urlsplit(link).query)["token"][0]


@pytest.mark.gen_test
async def test_a_person_is_not_flooded_with_links(world: World, sim: OidcSimulator) -> None:
    provider = await set_up(world, world.person("admin", world.organization()), sim.issuer)
    victim = world.person()
    for number in range(6):
        found = await arrive(world, sim, provider, f"flood-{number}", victim.email)
        assert found == {"error": "SIGN_IN_LINK_MAILED"}
    links = select(MailedLink).where(MailedLink.person_id == victim.id)
    assert len(world.c.db.system_sync(lambda session: list(session.scalars(links)))) == 3


@pytest.mark.gen_test
async def test_a_client_s_own_secret_is_asked_for_again(world: World, sim: OidcSimulator) -> None:
    provider = await set_up(world, world.person("admin", world.organization()), sim.issuer)
    browser, secret = Browser(world), "a secret of the page that began, of some length"
    challenge = base64.urlsafe_b64encode(hashlib.sha256(secret.encode()).digest()).rstrip(b"=").decode()
    asked = await browser.start(provider, f"?challenge={challenge}")
    found = await browser.come_back(provider, state=asked["state"], code=sim.grant(asked, "s-4", address()))
    assert (await browser.finish(found)).code == "SIGN_IN_REFUSED"
    assert (await browser.finish(found, secret="guessed")).code == "SIGN_IN_REFUSED"
    assert (await browser.finish(found, secret=secret)).status == 200


@pytest.mark.gen_test
async def test_the_address_may_stand_in_userinfo_and_the_signature_be_of_any_kind(
    world: World, sim: OidcSimulator
) -> None:
    provider = await set_up(world, world.person("admin", world.organization()), sim.issuer)
    for algorithm in ("RS256", "PS384", "ES256", "EdDSA", "Ed25519"):
        kid = "first" if algorithm[:2] in ("RS", "PS") else algorithm
        sim.plan = Plan(algorithm=algorithm, kid=kid, claims={"email": None, "email_verified": None})
        found = await arrive(world, sim, provider, f"by-{algorithm}", address())
        assert "code" in found, algorithm


@pytest.mark.gen_test
async def test_keys_that_were_rotated_are_fetched_once_a_minute_at_most(world: World, sim: OidcSimulator) -> None:
    provider = await set_up(world, world.person("admin", world.organization()), sim.issuer)
    assert "code" in await arrive(world, sim, provider, "r-1", address())
    known = world.c.openid._known(sim.issuer)
    known.keys_at -= 61
    sim.plan = Plan(key="second", kid="second", published=("first", "second"))
    before = sim.asked["/keys"]
    assert "code" in await arrive(world, sim, provider, "r-2", address())
    assert sim.asked["/keys"] == before + 1
    sim.plan = Plan(key="stranger", kid="nobody's", published=("first", "second"))
    for _ in range(3):
        assert await arrive(world, sim, provider, "r-3", address()) == {"error": "SIGN_IN_REFUSED"}
    assert sim.asked["/keys"] == before + 1


@pytest.mark.gen_test
async def test_a_plan_without_a_place_takes_nobody_in(world: World, database: DatabaseUrls, sim: OidcSimulator) -> None:
    school = world.organization()
    provider = await provider_of(world, sim, school)
    async with another(world, database, users={"basic": 1}) as full:
        email = address()
        assert await arrive(full, sim, provider, "p-1", email) == {"error": "PLAN_LIMIT_REACHED"}
        assert person_of(world, email) is None


# -- Google ------------------------------------------------------------------------------------------------------------


# -- setting up --------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_an_administrator_sets_providers_up(world: World, sim: OidcSimulator) -> None:
    school = world.organization()
    administrator = world.of(world.person("admin", school))
    made = await set_up(world, world.person("admin", school), sim.issuer, name="Campus")
    assert made["redirect_uri"] == f"{world.base_url}{AUTH}/oidc/{made['id']}/callback/"
    assert (made["has_client_secret"], "client_secret" in made) == (True, False)
    twice = await administrator.post(f"{SETUP}/", {"name": "X", "issuer": sim.issuer, "client_id": "x"})
    assert (twice.status, twice.code) == (409, "PROVIDER_TAKEN")
    for issuer in ("ftp://x.example", "https://", "https://x.example/?a=1", "https://u:p@x.example", "javascript:1"):
        bad = await administrator.post(f"{SETUP}/", {"name": "X", "issuer": issuer, "client_id": "x"})
        assert (bad.status, list(bad.body["errors"])) == (400, ["issuer"]), issuer
    listed = (await administrator.get(f"{SETUP}/")).data
    assert [one["id"] for one in listed] == [made["id"]]
    subdomain = world.c.db.system_sync(
        lambda session: session.execute(text("SELECT subdomain FROM organizations WHERE id = :id"), {"id": school})
        .scalar_one()
    )  # fmt: skip
    for query in (f"?organization={school}", f"?subdomain={subdomain}"):
        offered = (await world.anonymous.get(f"{AUTH}/providers/{query}")).data
        assert offered == {"providers": [{"id": made["id"], "name": "Campus"}], "google": False}
    assert (await world.anonymous.get(f"{AUTH}/providers/")).data["providers"] == []
    assert (await world.anonymous.get(f"{AUTH}/providers/?subdomain=nobody-s")).code == "ORGANIZATION_NOT_FOUND"
    off = await administrator.patch(f"{SETUP}/{made['id']}/", {"is_active": False})
    assert off.data["is_active"] is False
    assert (await world.anonymous.get(f"{AUTH}/providers/?organization={school}")).data["providers"] == []
    assert (await world.anonymous.get(f"{AUTH}/oidc/{made['id']}/start/")).status == 404
    assert (await administrator.call("DELETE", f"{SETUP}/{made['id']}/")).status == 200
    assert (await administrator.get(f"{SETUP}/")).data == []


@pytest.mark.gen_test
async def test_another_issuer_is_not_shown_the_secret_of_the_first(world: World, sim: OidcSimulator) -> None:
    administrator = world.person("admin", world.organization())
    made = await set_up(world, administrator, sim.issuer)
    moved = await world.of(administrator).patch(f"{SETUP}/{made['id']}/", {"issuer": "http://127.0.0.1:9/other"})
    assert moved.data["has_client_secret"] is False


@pytest.mark.gen_test
async def test_a_check_says_what_is_wrong(world: World, sim: OidcSimulator) -> None:
    administrator = world.person("admin", world.organization())
    made = await set_up(world, administrator, sim.issuer)
    for plan, fault in (
        (Plan(), None),
        (Plan(discovery={"issuer": "https://other.example"}), "provider_issuer_differs"),
        (Plan(discovery={"token_endpoint": None}), "provider_endpoints"),
        (Plan(discovery={"jwks_uri": "file:///etc/passwd"}), "provider_endpoints"),
        (Plan(redirect=True), "provider_unreachable"),
        (Plan(), None),
    ):
        sim.plan = plan
        answer = await world.of(administrator).post(f"{SETUP}/{made['id']}/check/", Accept_Language="de")
        assert [one["code"] for one in answer.data["faults"]] == ([fault] if fault else [])
        assert all(one["message"] != one["code"] for one in answer.data["faults"])


@pytest.mark.gen_test
async def test_who_has_a_second_factor_shows_it_before_a_provider_is_changed(world: World, sim: OidcSimulator) -> None:
    administrator = world.person("admin", world.organization())
    made = await set_up(world, administrator, sim.issuer)

    def enrol(session: Session) -> None:
        session.get_one(Person, administrator.id).has_second_factor = True

    world.c.db.system_sync(enrol)
    client, path = world.of(administrator), f"{SETUP}/{made['id']}/"
    assert (await client.patch(path, {"name": "Harbour"})).status == 200
    world.clock.advance(timedelta(minutes=10, seconds=1))
    for verb, where, body in (
        ("PATCH", path, {"name": "X"}),
        ("DELETE", path, None),
        ("POST", f"{SETUP}/", {"name": "X", "issuer": "http://127.0.0.1:9/", "client_id": "x"}),
    ):
        refused = await client.call(verb, where, body)
        assert (refused.status, refused.code) == (403, "STEP_UP_REQUIRED")
    assert [one["name"] for one in (await client.get(f"{SETUP}/")).data] == ["Harbour"]
