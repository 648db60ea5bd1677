"""Forged, stale and stolen tokens; which organization a request acts in."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edurise.identity.tokens import ISSUER
from edurise.identity.watch import read_revocations
from edurise.tenants import service as tenants
from edurise.tenants.queries import MAIN
from tests.harness.client import Client
from tests.harness.world import PASSWORD, Someone, World

API = "/api/v1"
AUTH = f"{API}/accounts/auth"
ME = f"{API}/users/me/"
SWITCH = f"{API}/users/switch_tenant/"


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: str = "") -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in (header, claims)]
    return ".".join([*parts, signature])


def forgeries(world: World, person: Someone) -> dict[str, str]:
    """Tokens that nobody but us could have signed and we did not."""
    claims, kid = claims_of(person.access), kid_of(person.access)
    own = Ed25519PrivateKey.generate()
    header, payload, signature = person.access.split(".")
    public = world.c.tokens._ring.public[kid].public_bytes(Encoding.Raw, PublicFormat.Raw)
    stranger = unsigned({"alg": "EdDSA"}, {**claims, "sub": str(uuid4())}).split(".")[1]
    return {
        "alg none": unsigned({"alg": "none", "kid": kid}, claims),
        "alg None": unsigned({"alg": "None", "kid": kid}, claims, signature),
        "another key": jwt.encode(claims, own, "EdDSA", headers={"kid": kid}),
        "an unknown kid": jwt.encode(claims, own, "EdDSA", headers={"kid": "another"}),
        "no kid": jwt.encode(claims, own, "EdDSA"),
        "a kid that is a path": jwt.encode(claims, own, "EdDSA", headers={"kid": "../../../../dev/null"}),
        "a kid that is SQL": jwt.encode(claims, own, "EdDSA", headers={"kid": "x' OR true --"}),
        "a kid that is a list": unsigned({"alg": "EdDSA", "kid": [kid]}, claims, signature),
        "its key in the header": unsigned(
            {"alg": "EdDSA", "kid": kid, "jwk": {"kty": "OKP", "x": "AA"}}, claims, signature
        ),
        "the public key as an HMAC secret": jwt.encode(claims, public, "HS256", headers={"kid": kid}),
        "somebody else's claims": ".".join([header, stranger, signature]),
        "a signature cut short": person.access[:-8],
        "no signature": f"{header}.{payload}.",
        "no token": "x",
        "dots": "..",
        "not ASCII": "ü.ü.ü",
        "very long": "a" * 5000,
        "its refresh token": person.refresh,
    }


@pytest.mark.gen_test
async def test_a_forged_token_is_nobody_s(world: World) -> None:
    person = world.person()
    for name, token in forgeries(world, person).items():
        refused = await world.anonymous.as_(token).get(ME)
        assert (refused.status, refused.code) == (401, "TOKEN_INVALID"), name
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert (await world.anonymous.as_(token).get(f"{API}/courses/")).status == 401, "not even where none is needed"
    assert (await world.of(person).get(ME)).status == 200


@pytest.mark.gen_test
async def test_a_token_without_a_needed_claim_or_of_another_issuer_is_refused(world: World) -> None:
    person = world.person()
    ring = world.c.tokens.ring.signers[0]
    good = claims_of(person.access)
    assert good.keys() == {"iss", "iat", "exp", "sub", "sid", "ver", "pin", "tid"}, "and never a role"
    bad = [
        {name: value for name, value in good.items() if name != left_out}
        for left_out in ("iss", "iat", "exp", "sub", "sid", "ver", "pin")
    ]
    bad += [
        good | {"iss": "other"},
        good | {"sub": "x"},
        good | {"sid": 7},
        good | {"exp": "soon"},
        good | {"ver": None},
    ]
    for claims in bad:
        token = jwt.encode(claims, ring.private, "EdDSA", headers={"kid": ring.kid})
        assert (await world.anonymous.as_(token).get(ME)).code == "TOKEN_INVALID", claims
    assert good["iss"] == ISSUER


@pytest.mark.gen_test
async def test_other_schemes_and_other_places_are_no_tokens(world: World) -> None:
    person = world.person()
    for value in (f"Basic {person.access}", person.access, "Bearer", f"Token {person.access}"):
        assert (await world.anonymous.get(ME, Authorization=value)).status == 401, value
    assert (await world.anonymous.get(f"{ME}?token={person.access}")).code == "UNAUTHORIZED"
    assert (await world.anonymous.get(ME, Cookie=f"access={person.access}")).code == "UNAUTHORIZED"
    assert (await world.anonymous.get(ME, Authorization=f"bearer {person.access}")).status == 200


@pytest.mark.gen_test
async def test_a_token_expires(world: World) -> None:
    person = world.person()
    client = world.of(person)
    world.clock.advance(timedelta(seconds=world.c.settings.access_token_s - 1))
    assert (await client.get(ME)).status == 200
    world.clock.advance(timedelta(seconds=2))
    assert (await client.get(ME)).code == "TOKEN_EXPIRED"
    fresh = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": person.refresh})
    assert (await world.anonymous.as_(fresh.data["access"]).get(ME)).status == 200


@pytest.mark.gen_test
async def test_log_out_ends_every_token_of_the_session_and_of_no_other(world: World) -> None:
    person = world.person()
    other = (await world.anonymous.post(f"{AUTH}/login/", {"email": person.email, "password": PASSWORD})).data
    fresh = (await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": person.refresh})).data
    assert (await world.of(person).post(f"{AUTH}/logout/")).status == 200
    await read_revocations(world.c.db, world.c.tokens, world.c.settings.secret_key)
    for token in (person.access, fresh["access"]):
        assert (await world.anonymous.as_(token).get(ME)).code == "TOKEN_INVALID"
    for refresh in (person.refresh, fresh["refresh"]):
        assert (await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": refresh})).code == "TOKEN_INVALID"
    assert (await world.anonymous.as_(other["access"]).get(ME)).status == 200


@pytest.mark.gen_test
async def test_nobody_logs_another_out(world: World) -> None:
    victim, attacker = world.person(), world.person()
    assert (await world.of(attacker).post(f"{AUTH}/logout/", {"refresh_token": victim.refresh})).status == 200
    await read_revocations(world.c.db, world.c.tokens, world.c.settings.secret_key)
    assert (await world.of(victim).get(ME)).status == 200
    assert (await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": victim.refresh})).status == 200


@pytest.mark.gen_test
async def test_a_stolen_refresh_token_ends_the_family_and_its_access_tokens(world: World) -> None:
    person = world.person()
    fresh = (await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": person.refresh})).data
    world.clock.advance(timedelta(seconds=world.c.settings.refresh_grace_s + 1))
    stolen = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": person.refresh})
    assert (stolen.status, stolen.code) == (401, "TOKEN_REUSED")
    await read_revocations(world.c.db, world.c.tokens, world.c.settings.secret_key)
    assert (await world.anonymous.as_(fresh["access"]).get(ME)).code == "TOKEN_INVALID"
    for token in (fresh["refresh"], person.refresh, person.refresh + "x", "x" * 200):
        assert (await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": token})).code == "TOKEN_INVALID"
    world.clock.advance(timedelta(seconds=1))
    again = await world.anonymous.post(f"{AUTH}/login/", {"email": person.email, "password": PASSWORD})
    assert again.status == 200


@pytest.mark.gen_test
async def test_a_refresh_moves_only_to_ones_own_organizations(world: World) -> None:
    home, away = world.organization(), world.organization()
    person = world.person(tenant_id=home)
    refused = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": person.refresh, "tenant_id": str(away)})
    assert (refused.status, refused.code) == (403, "TENANT_ACCESS_ERROR")
    moved = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": person.refresh, "tenant_id": str(home)})
    assert claims_of(moved.data["access"])["tid"] == str(home)


# -- the acting organization
# ---------------------------------------------------------------------------------------------


async def acting(client: Client) -> str | None:
    """The organization that a request acts in, as the caller's own user tells it."""
    found = (await client.get(ME)).body["organization"]
    return None if found is None else found["id"]


def member_of_two(world: World) -> tuple[Someone, str, str]:
    home, other = world.organization(), world.organization()
    person = world.person(tenant_id=home)
    world.c.db.system_sync(lambda session: tenants.join(session, other, person.id))
    return person, str(home), str(other)


@pytest.mark.gen_test
async def test_the_header_beats_the_token_until_a_switch_pins_the_session(world: World) -> None:
    person, home, other = member_of_two(world)
    assert await acting(world.of(person)) == home
    assert await acting(world.of(person, X_Tenant_ID=other)) == other
    switched = (await world.of(person).post(SWITCH, {"tenant_id": other})).body
    assert switched["tenant"]["id"] == other
    assert switched["token"] == switched["tokens"]["access"]
    pinned = world.anonymous.as_(switched["token"], X_Tenant_ID=home)
    assert await acting(pinned) == other, "the pin beats the header"
    assert await acting(world.of(person, X_Tenant_ID=home)) == home, "an older token of the session is not pinned"
    fresh = await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": person.refresh, "tenant_id": home})
    assert await acting(world.anonymous.as_(fresh.data["access"], X_Tenant_ID=home)) == other, "refresh keeps the pin"


@pytest.mark.gen_test
async def test_a_switch_goes_only_where_one_belongs_and_a_platform_administrator_everywhere(world: World) -> None:
    person, away = world.person(), str(world.organization())
    for wanted in (away, str(uuid4())):
        refused = await world.of(person).post(SWITCH, {"tenant_id": wanted})
        assert (refused.status, refused.code) == (403, "TENANT_ACCESS_ERROR")
    root = world.person(platform=True)
    switched = (await world.of(root).post(SWITCH, {"tenant_id": away})).body
    assert switched["tenant"]["id"] == away
    assert (await world.of(root).post(SWITCH, {"tenant_id": str(uuid4())})).status == 403
    back = (await world.of(root).post(SWITCH, {"tenant_id": "main"})).body
    assert back["tenant"]["id"] == str(MAIN)
    assert (await world.of(root, X_Tenant_ID=away).get(ME)).status == 200


@pytest.mark.gen_test
async def test_a_foreign_header_is_told_where_it_matters_and_ignored_where_it_does_not(world: World) -> None:
    home, away = world.organization(), world.organization()
    teacher = world.person("teacher", home)
    draft = world.course(teacher, is_public=False)
    for header in (str(away), str(uuid4()), "undefined", "null", "main"):
        client = world.of(teacher, X_Tenant_ID=header)
        for path in (ME, f"{API}/notifications/", f"{API}/courses/enrolled_courses/", f"{API}/teacher-approvals/"):
            refused = await client.get(path)
            assert (refused.status, refused.code) == (403, "TENANT_ACCESS_ERROR"), f"{header}: {path}"
        assert (await client.post(f"{API}/courses/", {"title": "x", "category": "technology"})).status == 403
        assert [row["id"] for row in (await client.get(f"{API}/users/tenants/")).data] == [str(home)]
        own = (await client.get(f"{API}/courses/")).data
        assert [row["id"] for row in own] == [str(draft["id"])], "as if the header were not there"
        login = await client.post(f"{AUTH}/login/", {"email": teacher.email, "password": PASSWORD})
        assert login.data["user"]["organization"]["id"] == str(home)
        assert (await client.get(f"{API}/courses/{draft['id']}/")).status == 200, "an id names its organization"
    assert (await world.of(teacher, X_Tenant_ID="undefined").post(SWITCH, {"tenant_id": str(home)})).status == 200
    assert (await world.of(teacher, X_Tenant_ID="undefined").post(f"{AUTH}/logout/")).status == 200


@pytest.mark.gen_test
async def test_registration_joins_the_named_organization_or_main(world: World) -> None:
    home = world.organization()
    for header, joined in (
        (str(home), str(home)),
        (str(uuid4()), str(MAIN)),
        ("nonsense", str(MAIN)),
        ("main", str(MAIN)),
    ):
        form = {"email": f"{uuid4()}@example.org", "password": PASSWORD, "password_confirm": PASSWORD}
        made = await world.anonymous.post(
            f"{AUTH}/register/", form | {"first_name": "A", "last_name": "B"}, X_Tenant_ID=header
        )
        assert (made.status, made.data["user"]["organization"]["id"]) == (201, joined), header
