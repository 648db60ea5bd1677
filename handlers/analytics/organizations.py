"""Organizations with their figures, as anybody finds them and the platform's administrators manage them."""

from __future__ import annotations

from uuid import UUID

from edurise.analytics import organizations
from edurise.analytics.flows import organizations as managing
from edurise.analytics.permissions import Analytics
from edurise.authz import About
from edurise.courses import queries as courses
from edurise.tenants.permissions import Organizations
from handlers.base import RestHandler
from handlers.guards import describe, permit, public
from schemas.courses import CourseOut
from schemas.organizations import (
    FiguredOrganizationOut,
    InstructorStatsOut,
    MarketplaceOrganizationOut,
    OrganizationIn,
    OrganizationListQuery,
    OrganizationPatch,
    OrganizationStatsOut,
    SubdomainQuery,
)
from schemas.tenants import OrganizationOut

TAGS = ["organizations"]
_KIND = "organization"


class OrganizationsHandler(RestHandler):
    """All organizations, and new ones."""

    lenient = True

    @public(cache=True)
    @describe(
        summary="The open organizations with what is public of their figures; all of both for the platform's"
        " administrators",
        tags=TAGS,
        query=OrganizationListQuery,
        out=FiguredOrganizationOut,
        shape="page",
    )
    async def get(self) -> None:
        query = self.query(OrganizationListQuery)
        window = self.window(query)
        self.reply_page(await managing.listing(self.c, self.who, query, window), window)

    @permit(Organizations.FOUND)
    @describe(
        summary="Found an organization",
        tags=TAGS,
        body=OrganizationIn,
        out=OrganizationOut,
        status=201,
        errors=["SUBDOMAIN_TAKEN", "STEP_UP_REQUIRED"],
    )
    async def post(self) -> None:
        self.reply(201, await managing.found(self.c, self.who, self.body(OrganizationIn)))


class OrganizationHandler(RestHandler):
    """One organization."""

    lenient = True

    @public()
    @describe(
        summary="An organization; its own and the platform's administrators see every figure",
        tags=TAGS,
        out=FiguredOrganizationOut,
        errors=["NOT_FOUND"],
    )
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(organizations.detail, about=About(_KIND, id)))

    @permit(Organizations.CHANGE)
    @describe(
        summary="Change any organization, its plan and whether it is open included",
        tags=TAGS,
        body=OrganizationPatch,
        out=FiguredOrganizationOut,
        errors=["SUBDOMAIN_TAKEN", "MAIN_STAYS", "CURRENCY_STAYS", "STEP_UP_REQUIRED"],
    )
    async def patch(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await managing.change(self.c, self.who, id, self.body(OrganizationPatch)))

    @permit(Organizations.CLOSE)
    @describe(
        summary="Close an organization; its rows stay, and it can be opened again",
        tags=TAGS,
        shape="none",
        errors=["MAIN_STAYS", "STEP_UP_REQUIRED"],
    )
    async def delete(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        await managing.close(self.c, self.who, id)
        self.reply(200)


class OrganizationStatsHandler(RestHandler):
    """The figures of one organization."""

    @permit(Analytics.STATS)
    @describe(summary="The figures of an organization", tags=TAGS, out=OrganizationStatsOut)
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(organizations.stats, about=About(_KIND, id)))


class OrganizationCoursesHandler(RestHandler):
    """The courses of one organization."""

    lenient = True

    @public()
    @describe(
        summary="The published courses of an organization; all of them for its own and the platform's administrators",
        tags=TAGS,
        out=CourseOut,
        shape="array",
    )
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(courses.of_organization, about=About(_KIND, id)))


class BySubdomainHandler(RestHandler):
    """The organization of a host name."""

    lenient = True

    @public(cache=True)
    @describe(
        summary="An open organization by its subdomain",
        tags=TAGS,
        query=SubdomainQuery,
        out=OrganizationOut,
        errors=["ORGANIZATION_NOT_FOUND"],
    )
    async def get(self) -> None:
        self.reply(200, await self.hop(organizations.by_subdomain, self.query(SubdomainQuery)["subdomain"]))


class MarketplaceSummaryHandler(RestHandler):
    """The organizations of the marketplace."""

    lenient = True

    @public(cache=True)
    @describe(
        summary="The open organizations as the marketplace introduces them",
        tags=TAGS,
        out=MarketplaceOrganizationOut,
        shape="array",
    )
    async def get(self) -> None:
        self.reply(200, await self.hop(organizations.marketplace))


class InstructorStatsHandler(RestHandler):
    """The figures of whoever teaches."""

    lenient = True

    @public(cache=True)
    @describe(
        summary="The public figures of somebody's published courses over all organizations",
        tags=["users"],
        out=InstructorStatsOut,
    )
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(organizations.instructor, id))


_ROOT = "/api/v1/organizations"
_ONE = f"{_ROOT}/{{id:uuid}}"
_OLD = "/api/v1/accounts/organizations"
_OLD_ONE = f"{_OLD}/{{id:uuid}}"
routes = [
    (f"{_ROOT}/", OrganizationsHandler),
    (f"{_ROOT}/by_subdomain/", BySubdomainHandler),
    (f"{_ROOT}/marketplace_summary/", MarketplaceSummaryHandler),
    (f"{_ONE}/", OrganizationHandler),
    (f"{_ONE}/stats/", OrganizationStatsHandler),
    (f"{_ONE}/courses/", OrganizationCoursesHandler),
    ("/api/v1/users/{id:uuid}/instructor_stats/", InstructorStatsHandler),
]
aliases = [
    *((verb, f"{_OLD}/", f"{_ROOT}/") for verb in ("GET", "POST")),
    *((verb, f"{_OLD_ONE}/", f"{_ONE}/") for verb in ("GET", "PATCH", "DELETE")),
    ("GET", f"{_OLD}/by_subdomain/", f"{_ROOT}/by_subdomain/"),
    ("GET", f"{_OLD_ONE}/stats/", f"{_ONE}/stats/"),
]
