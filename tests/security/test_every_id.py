"""Generated from the routes: an id of one organization, asked for by everybody whom another one can send, opens nothing
and changes nothing."""

from __future__ import annotations

import pytest

from edurise.authz import Grade
from handlers.app import ALIASES, ROUTES
from handlers.guards import check_all, guard_of
from tests.harness.world import World
from tests.security.entries import Entry
from tests.security.scene import row_counts
from tests.security.test_permissions import TABLE, ask, every_endpoint, scene_of

_REFUSED = (400, 401, 403, 404, 409)


def takes_an_id(endpoint: str) -> bool:
    return ":uuid}" in endpoint


def hidden(endpoint: str) -> list[Entry]:
    """The entries about a row that the administrator of another organization must not reach."""
    return [entry for entry in TABLE[endpoint] if entry.expected[2] in (403, 404)]


def is_for_anybody(endpoint: str) -> bool:
    """Whether the verb declares that anybody, or any person, may call it: what is published may be read and bought."""
    verb, _, text = endpoint.partition(" ")
    (route,) = [one for one in check_all(ROUTES, ALIASES) if one.template.text == text and not one.is_alias]
    guard = guard_of(route.handler, verb)
    assert guard is not None
    return not guard.permission.grades.isdisjoint({Grade.PUBLIC, Grade.PERSON})


TAKING = [endpoint for endpoint in every_endpoint() if takes_an_id(endpoint)]


@pytest.mark.parametrize("endpoint", TAKING)
def test_every_id_has_a_row_that_must_stay_hidden(endpoint: str) -> None:
    assert hidden(endpoint) or is_for_anybody(endpoint), "nothing shows that another organization is kept out"


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("endpoint", [one for one in TAKING if hidden(one)])
async def test_an_id_of_another_organization_opens_nothing(world: World, endpoint: str) -> None:
    scene = await scene_of(world)
    attackers = [world.person(role, scene.stranger.tenant_id) for role in ("admin", "teacher", "student")]
    before = row_counts(world)
    for entry in hidden(endpoint):
        for attacker in attackers:
            for headers in ({}, {"X_Tenant_ID": str(scene.at.id)}):
                answer = await ask(world, endpoint, entry, scene, attacker, **headers)
                assert answer.status in _REFUSED, (answer.status, answer.content)
                assert str(scene.at.id).encode() not in answer.content
    assert row_counts(world) == before
