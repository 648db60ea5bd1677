"""Pictures of people and organizations."""

from __future__ import annotations

from typing import Any

from edurise.files import uploads
from edurise.files.flows import portraits
from edurise.identity.permissions import Identity
from edurise.streams import Pipe
from edurise.tenants import organizations
from edurise.tenants.permissions import Organizations
from handlers.files.linking import LinkingHandler
from handlers.files.uploads import KEEPING
from handlers.forms import Form
from handlers.guards import describe, permit
from handlers.receiving import ReceivingHandler
from schemas.pictures import AvatarForm, AvatarOut, CurrentOrganizationPatch
from schemas.tenants import OrganizationOut

INSPECTING = [*KEEPING, "FILE_TYPE_MISMATCH", "STORE_UNAVAILABLE", "UPSTREAM_UNAVAILABLE"]
AVATAR_BYTES = 5 * 1024 * 1024


class AvatarHandler(ReceivingHandler, LinkingHandler):
    """One's own picture."""

    @permit(Identity.PICTURE)
    @describe(
        summary="Show a picture of at most 5 MiB as one's own, kept as pixels alone; the one before is erased",
        tags=["profiles"],
        body=AvatarForm,
        out=AvatarOut,
        shape="body",
        media_types=["multipart/form-data"],
        errors=[*INSPECTING, "SESSION_CONFINED"],
    )
    async def post(self) -> None:
        self.reply(200, await self.received())

    @property
    def stream_limit(self) -> int:
        return AVATAR_BYTES + uploads.FORM_OVERHEAD_BYTES

    async def receive(self, pipe: Pipe) -> Any:
        form = Form(self.request.headers.get("Content-Type", ""), pipe, "avatar")
        return await portraits.show_avatar(self.c, self.who, form, self.announced_length(), self.links)


class CurrentOrganizationHandler(LinkingHandler):
    """The acting organization."""

    @permit(Organizations.FURNISH)
    @describe(summary="The acting organization", tags=["organizations"], out=OrganizationOut)
    async def get(self) -> None:
        self.reply(200, await self.hop(organizations.current))

    @permit(Organizations.FURNISH)
    @describe(
        summary="Change the acting organization; a logo comes as a data: URL, null takes it away",
        tags=["organizations"],
        body=CurrentOrganizationPatch,
        out=OrganizationOut,
        errors=[
            *INSPECTING,
            "SUBDOMAIN_TAKEN",
            "MAIN_STAYS",
        ],
    )
    async def patch(self) -> None:
        data = self.body(CurrentOrganizationPatch)
        self.reply(200, await portraits.furnish(self.c, self.who, data, self.links))


_UPLOAD = "/api/v1/user-profiles/upload_avatar/"
routes = [
    (_UPLOAD, AvatarHandler),
    ("/api/v1/organizations/current/", CurrentOrganizationHandler),
]
aliases = [("POST", "/api/v1/user-profiles/upload-avatar/", _UPLOAD)]
