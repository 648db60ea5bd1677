"""Organizations: one's own, and which to act in."""

from __future__ import annotations

from edurise.authz import MINE
from edurise.identity.flows import sessions
from edurise.tenants import queries
from edurise.tenants.permissions import Tenants
from handlers.base import RestHandler
from handlers.guards import describe, permit
from schemas.tenants import OrganizationOut, SwitchIn, SwitchOut


class MyTenantsHandler(RestHandler):
    """The caller's organizations. Clients find their way out of an unusable stored organization here."""

    lenient = True

    @permit(Tenants.MINE)
    @describe(
        summary="One's own organizations, the acting one first",
        tags=["organizations"],
        out=OrganizationOut,
        shape="array",
    )
    async def get(self) -> None:
        self.reply(200, await self.hop(queries.mine, about=MINE))


class SwitchTenantHandler(RestHandler):
    """Act in another organization."""

    lenient = True

    @permit(Tenants.SWITCH)
    @describe(
        summary="Act in another organization from now on; the token's organization then beats X-Tenant-ID",
        tags=["organizations"],
        body=SwitchIn,
        out=SwitchOut,
        shape="body",
        errors=["TENANT_ACCESS_ERROR"],
    )
    async def post(self) -> None:
        data = self.body(SwitchIn)
        self.reply(200, await sessions.switch(self.c, self.who, queries.id_of(data["tenant_id"])))


routes = [
    ("/api/v1/users/tenants/", MyTenantsHandler),
    ("/api/v1/users/switch_tenant/", SwitchTenantHandler),
]
aliases = [("POST", "/api/v1/accounts/users/switch_tenant/", "/api/v1/users/switch_tenant/")]
