"""Secrets that are sealed for long: in another's row, under keys that come and go, and on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import pytest
import typer
from sqlalchemy import text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise.adapters.provision import DatabaseUrls
from edurise.adapters.refusals import refusals
from edurise.authz import Principal
from edurise.db import moment
from edurise.identity import client_secrets, factors
from edurise.identity.flows import resealing
from edurise.identity.proofs import IdentityProvider, SecondFactor
from edurise.sealing import SealBroken, Vault
from tests.harness.authenticator import Authenticator, enrolled
from tests.harness.world import Someone, World
from tests.harness.worlds import another

LOGIN = "/api/v1/accounts/auth/login/"
NEW = f"new:{'5a' * 32}"


@pytest.fixture
def vaults(world: World) -> Iterator[None]:
    """Whatever a test sealed with a new key is sealed with the old one again."""
    yield
    back = Vault({**world.c.vault._keys, "new": bytes.fromhex("5a" * 32)})
    world.c.db.system_sync(lambda session: [_everything(session, back, one) for one in resealing.KEPT])


def _everything(session: Session, vault: Vault, reseal: resealing.Reseal) -> None:
    after, _ = reseal(session, vault, None, 100)
    while after is not None:
        after, _ = reseal(session, vault, after, 100)


def use(world: World, person: Someone, code: str) -> factors.Checked:
    who = Principal(user_id=person.id)
    return world.c.db.system_sync(factors.check, who, code, world.c.vault, world.c.codes)


def provider(world: World, sealed: bytes | None, provider_id: UUID) -> None:
    school = world.organization()

    def make(session: Session) -> None:
        names = {"name": "Campus", "issuer": f"https://{provider_id}.example.org", "client_id": "edurise"}
        times = {"created_at": moment(session), "updated_at": moment(session)}
        row = IdentityProvider(id=provider_id, tenant_id=school, sealed_client_secret=sealed, **names, **times)
        session.add(row)

    world.c.db.system_sync(make)


def client_secret(world: World, provider_id: UUID) -> bytes | None:
    return world.c.db.system_sync(lambda session: session.get_one(IdentityProvider, provider_id).sealed_client_secret)


def key_of(world: World, person: Someone) -> str:
    return Vault.key_of(world.c.db.system_sync(lambda session: session.get_one(SecondFactor, person.id).sealed_secret))


@pytest.mark.gen_test
async def test_a_sealed_secret_that_was_copied_to_another_s_row_does_not_open(world: World) -> None:
    thief, victim = world.person(), world.person()
    known = await enrolled(world, thief)
    theirs = await enrolled(world, victim)
    copy = text(
        """UPDATE second_factors v SET sealed_secret = t.sealed_secret, last_step = NULL FROM second_factors t
            WHERE v.person_id = :victim AND t.person_id = :thief"""
    )
    keep = text("SELECT sealed_secret FROM second_factors WHERE person_id = :p")
    before = world.c.db.system_sync(lambda session: session.scalar(keep, {"p": victim.id}))
    world.c.db.system_sync(lambda session: session.execute(copy, {"victim": victim.id, "thief": thief.id}))
    with pytest.raises(SealBroken):
        use(world, victim, known.fresh_code)
    back = text("UPDATE second_factors SET sealed_secret = :s WHERE person_id = :p")
    world.c.db.system_sync(lambda session: session.execute(back, {"s": before, "p": victim.id}))
    assert use(world, victim, theirs.fresh_code).refusal is None


@pytest.mark.gen_test
async def test_a_code_of_another_person_lets_nobody_in(world: World) -> None:
    one, other = world.person(), world.person()
    mine, theirs = await enrolled(world, one), await enrolled(world, other)
    for code in (theirs.recovery_codes[0], theirs.fresh_code):
        refused = use(world, one, code).refusal
        assert refused is not None
        assert refused.code == "OTP_WRONG"
    assert use(world, one, mine.recovery_codes[0]).refusal is None


@pytest.mark.gen_test
@pytest.mark.usefixtures("vaults")
async def test_keys_are_introduced_and_changed_without_asking_anybody_to_enroll_again(
    world: World, database: DatabaseUrls
) -> None:
    """An installation that had no keys gets some; the key from ``EDU_SECRET_KEY`` opens what it sealed."""
    person = world.person()
    mine: Authenticator = await enrolled(world, person)
    assert key_of(world, person) == "secret"
    async with another(world, database, sealing_keys=(NEW,)) as keyed:
        assert use(keyed, person, mine.fresh_code).refusal is None
        newcomer = world.person()
        await enrolled(keyed, newcomer)
        assert key_of(world, newcomer) == "new"
        assert (await resealing.everything(keyed.c)).count >= 1
        assert key_of(world, person) == "new"
        assert use(keyed, person, mine.fresh_code).refusal is None
        assert (await resealing.everything(keyed.c)).count == 0
    with pytest.raises(SealBroken, match="'new', which EDU_SEALING_KEYS does not hold"):
        use(world, person, mine.fresh_code)


@pytest.mark.gen_test
@pytest.mark.usefixtures("vaults")
async def test_client_secrets_are_sealed_anew_too_in_small_batches(
    world: World, database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resealing, "BATCH", 2)
    made = [uuid7() for _ in range(5)]
    for one in made:
        provider(world, world.c.vault.seal(b"known to the provider", client_secrets.context_of(one)), one)
    without = uuid7()
    provider(world, None, without)
    async with another(world, database, sealing_keys=(NEW,)) as keyed:
        assert (await resealing.everything(keyed.c)).count >= 5
        for one in made:
            sealed = client_secret(world, one)
            assert sealed is not None
            assert Vault.key_of(sealed) == "new"
            assert keyed.c.vault.unseal(sealed, client_secrets.context_of(one)) == b"known to the provider"
            with pytest.raises(SealBroken):
                keyed.c.vault.unseal(sealed, client_secrets.context_of(without))
    assert client_secret(world, without) is None


@pytest.mark.gen_test
@pytest.mark.usefixtures("vaults")
async def test_what_no_key_opens_is_named_and_keeps_nothing_else_under_an_old_key(
    world: World, database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resealing, "BATCH", 2)
    lost, never_sealed, last = uuid7(), uuid7(), uuid7()
    provider(world, Vault({"gone": b"g" * 32}).seal(b"lost", client_secrets.context_of(lost)), lost)
    provider(world, b"\xff\xfe never sealed", never_sealed)
    provider(world, world.c.vault.seal(b"kept", client_secrets.context_of(last)), last)
    before = [client_secret(world, one) for one in (lost, never_sealed)]
    async with another(world, database, sealing_keys=(NEW,)) as keyed:
        renewal = await resealing.everything(keyed.c)
    told = {one.partition(": ")[0]: one for one in renewal.broken}
    assert "'gone', which EDU_SEALING_KEYS does not hold" in told[f"client secret of provider {lost}"]
    assert "name of a key" in told[f"client secret of provider {never_sealed}"]
    assert [client_secret(world, one) for one in (lost, never_sealed)] == before
    sealed = client_secret(world, last)
    assert sealed is not None
    assert Vault.key_of(sealed) == "new"
    forget = text("DELETE FROM identity_providers WHERE id = ANY(:ids)")
    world.c.db.system_sync(lambda session: session.execute(forget, {"ids": [lost, never_sealed]}))


def test_a_key_that_is_missing_is_told_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    sealed = Vault({"old": b"o" * 32}).seal(b"secret", b"row")
    with pytest.raises(typer.Exit) as ended, refusals():
        Vault({"new": b"n" * 32}).reseal(sealed, b"row")
    assert ended.value.exit_code == 2
    told = capsys.readouterr().err
    assert "'old'" in told
    assert "EDU_SEALING_KEYS" in told
    assert "Traceback" not in told


@pytest.mark.gen_test
async def test_another_secret_key_opens_nothing_and_no_code_counts(world: World) -> None:
    """With the wrong key a log-in is refused as our own fault; it is neither let through nor counted as a guess."""
    person = world.person()
    mine = await enrolled(world, person)
    wrong = replace(world.c, vault=Vault({"secret": b"w" * 32}))
    for _ in range(6):
        with pytest.raises(SealBroken):
            wrong.db.system_sync(factors.check, Principal(user_id=person.id), mine.fresh_code, wrong.vault, wrong.codes)
    assert use(world, person, mine.fresh_code).refusal is None
