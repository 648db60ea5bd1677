"""The rows of the permission table that are about signing in elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from edurise.identity import mailed
from edurise.identity.federation import LINK_FOR, PURPOSE
from edurise.identity.permissions import Providers
from edurise.identity.proofs import ExternalIdentity
from edurise.identity.providers import Installation, create
from tests.harness.providers import AUTH, SETUP
from tests.harness.world import World
from tests.security.entries import ANYBODY, Entry, Scene
from tests.security.scene import School

FORM = {"name": "Campus", "issuer": "http://127.0.0.1:9/", "client_id": "edurise", "client_secret": None}


def elsewhere_scene(world: World, at: School) -> dict[str, str]:
    """A provider of the school, which nobody reaches, and a mailed link for its student's account there."""
    administers = at.administrator.principal.needing(Providers.CHANGE)
    here = Installation("http://x", world.c.vault, private_hosts=True)
    made = world.c.db.run_sync(administers, create, here, FORM | {"is_active": True})

    def ask(session: Any) -> str:
        now, identity_id = world.clock.now(), uuid4()
        session.add(
            ExternalIdentity(
                id=identity_id,
                person_id=at.student.id,
                tenant_id=at.id,
                issuer=FORM["issuer"],
                subject="s",
                email=at.student.email,
                created_at=now,
            )
        )
        link_id = mailed.make(session, at.student.id, PURPOSE, at.student.email, LINK_FOR, identity_id)
        return world.c.mail_links.token(PURPOSE, link_id)

    return {"provider": str(made["id"]), "identity_link": world.c.db.system_sync(ask)}


def provider(action: str = "") -> Callable[[Scene], str]:
    return lambda scene: f"{SETUP}/{scene.provider}/{action}"


def administering(path: Callable[[Scene], str], body: dict[str, Any], status: int = 200) -> list[Entry]:
    """What an organization's administrator may do with its provider, and its teacher may not."""
    return [
        Entry((401, 403, 403, status), "administrator", path, lambda *_: body),
        Entry((401, 403, 403, 403), "teacher", path, lambda *_: body),
    ]


# What nobody has to be logged in for is decided by what is brought along: a token, a code, a link.
ELSEWHERE: dict[str, list[Entry]] = {
    f"GET {AUTH}/providers/": [Entry(ANYBODY)],
    f"GET {AUTH}/oidc/{{id:uuid}}/start/": [
        Entry((424, 424, 424, 424), path=lambda scene: f"{AUTH}/oidc/{scene.provider}/start/"),
        Entry((404, 404, 404, 404), path=lambda _: f"{AUTH}/oidc/{uuid4()}/start/"),
    ],
    f"GET {AUTH}/oidc/{{id:uuid}}/callback/": [
        Entry((302, 302, 302, 302), path=lambda scene: f"{AUTH}/oidc/{scene.provider}/callback/"),
    ],
    f"POST {AUTH}/oidc/finish/": [Entry((400, 400, 400, 400), body=lambda *_: {"code": "none"})],
    # The link is good for whoever has the mail, and once.
    f"POST {AUTH}/identities/confirm/": [
        Entry((200, 400, 400, 400), body=lambda scene, _: {"token": scene.identity_link}),
    ],
    f"GET {SETUP}/": [
        Entry((401, 403, 403, 200), "administrator"),
        Entry((401, 403, 403, 403), "teacher"),
    ],
    f"POST {SETUP}/": administering(lambda _: "", FORM | {"issuer": "http://127.0.0.1:9/other"}, 201),
    f"PATCH {SETUP}/{{id:uuid}}/": [
        Entry((401, 404, 404, 200), "administrator", provider(), lambda *_: {"name": "New"}),
        Entry((401, 404, 404, 404), "teacher", provider(), lambda *_: {"name": "New"}),
    ],
    f"DELETE {SETUP}/{{id:uuid}}/": [
        Entry((401, 404, 404, 200), "administrator", provider()),
        Entry((401, 404, 404, 404), "teacher", provider()),
    ],
    f"POST {SETUP}/{{id:uuid}}/check/": [
        Entry((401, 404, 404, 200), "administrator", provider("check/")),
        Entry((401, 404, 404, 404), "teacher", provider("check/")),
    ],
}
