"""Keys of access tokens: published, rotated without logging anyone out, retired when nothing needs them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import jwt
import pytest

from actors.identity import retire_signing_keys
from edurise.adapters.provision import DatabaseUrls
from edurise.identity import keys
from edurise.identity.watch import read_revocations
from tests.harness.world import PASSWORD, World
from tests.harness.worlds import another

JWKS = "/.well-known/jwks.json"
ME = "/api/v1/users/me/"


async def heard(world: World) -> None:
    """What every process does each second."""
    await read_revocations(world.c.db, world.c.tokens, world.c.settings.secret_key)


async def log_in(world: World, email: str) -> str:
    answer = await world.anonymous.post("/api/v1/accounts/auth/login/", {"email": email, "password": PASSWORD})
    token: str = answer.data["access"]
    return token


@pytest.mark.gen_test
async def test_anybody_can_verify_a_token_by_the_published_keys(world: World) -> None:
    person = world.person()
    answer = await world.anonymous.get(JWKS)
    assert answer.headers["Content-Type"] == "application/jwk-set+json"
    published = {one["kid"]: jwt.PyJWK(one) for one in answer.body["keys"]}
    assert all("d" not in one for one in answer.body["keys"]), "no private half"
    key = published[jwt.get_unverified_header(person.access)["kid"]]
    claims = jwt.decode(person.access, key, algorithms=["EdDSA"], options={"verify_exp": False, "verify_iat": False})
    assert claims["sub"] == str(person.id)


@pytest.mark.gen_test
async def test_a_rotation_logs_nobody_out_of_any_process(world: World, database: DatabaseUrls) -> None:
    person = world.person()
    async with another(world, database) as second:
        before = world.c.tokens.ring.signing(world.clock.now()).kid
        made = world.c.db.system_sync(keys.rotate, world.c.settings.secret_key)
        await heard(world)
        early = await log_in(world, person.email)
        assert jwt.get_unverified_header(early)["kid"] == before, "others may not know the new key yet"
        assert made in {one["kid"] for one in (await world.anonymous.get(JWKS)).body["keys"]}
        await heard(second)
        world.clock.advance(keys.LEARNED_WITHIN)
        fresh = await log_in(world, person.email)
        assert jwt.get_unverified_header(fresh)["kid"] == made
        for token in (person.access, early, fresh):
            for process in (world, second):
                assert (await process.anonymous.as_(token).get(ME)).status == 200


@pytest.mark.gen_test
async def test_a_key_retires_when_its_last_token_has_expired(world: World) -> None:
    world.c.db.system_sync(keys.rotate, world.c.settings.secret_key)
    await heard(world)
    old = set(world.c.tokens.ring.public)
    world.clock.advance(timedelta(hours=25, minutes=14))
    await retire_signing_keys(world.c)
    await heard(world)
    assert set(world.c.tokens.ring.public) == old
    world.clock.advance(timedelta(minutes=2))
    await retire_signing_keys(world.c)
    await heard(world)
    assert len(world.c.tokens.ring.public) == 1
    assert (await world.anonymous.as_(await log_in(world, world.person().email)).get(ME)).status == 200


@pytest.mark.gen_test
async def test_rotations_at_once_leave_a_ring_that_signs(world: World) -> None:
    with ThreadPoolExecutor(4) as threads:
        rotate = partial(world.c.db.system_sync, keys.rotate, world.c.settings.secret_key)
        made = {done.result() for done in [threads.submit(rotate) for _ in range(4)]}
    await heard(world)
    assert made <= set(world.c.tokens.ring.public)
    world.clock.advance(keys.LEARNED_WITHIN)
    token = await log_in(world, world.person().email)
    assert jwt.get_unverified_header(token)["kid"] == max(made, key=lambda kid: int(kid.rpartition("-")[2]))
