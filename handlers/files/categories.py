"""Categories of files."""

from __future__ import annotations

from uuid import UUID

from edurise.authz import About
from edurise.files import categories
from edurise.files.permissions import Files
from handlers.base import RestHandler
from handlers.guards import describe, permit
from schemas.file_bulk import CategoryIn, CategoryPatch, FileCategoryOut

TAGS = ["file-categories"]


class FileCategoriesHandler(RestHandler):
    """The categories of the platform and of the acting organization, and new ones."""

    @permit(Files.KEEP)
    @describe(
        summary="Categories of files, with the types and sizes that each takes",
        tags=TAGS,
        out=FileCategoryOut,
        shape="array",
    )
    async def get(self) -> None:
        self.reply(200, await self.hop(categories.listing))

    @permit(Files.CATEGORIZE)
    @describe(
        summary="Add a category of the acting organization",
        tags=TAGS,
        body=CategoryIn,
        out=FileCategoryOut,
        status=201,
        errors=["FILE_CATEGORY_TAKEN"],
    )
    async def post(self) -> None:
        self.reply(201, await self.hop(categories.create, self.body(CategoryIn)))


class FileCategoryHandler(RestHandler):
    """One category of an organization."""

    @permit(Files.CATEGORIZE)
    @describe(summary="Change a category; files that it has stay", tags=TAGS, body=CategoryPatch, out=FileCategoryOut)
    async def patch(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        data = self.body(CategoryPatch)
        self.reply(200, await self.hop(categories.change, id, data, about=About("file_category", id)))

    @permit(Files.CATEGORIZE)
    @describe(summary="Delete a category that no file has", tags=TAGS, shape="none", errors=["FILE_CATEGORY_IN_USE"])
    async def delete(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        await self.hop(categories.delete, id, about=About("file_category", id))
        self.reply(200)


_ROOT = "/api/v1/file-categories"
routes = [(f"{_ROOT}/", FileCategoriesHandler), (f"{_ROOT}/{{id:uuid}}/", FileCategoryHandler)]
aliases = [("GET", "/api/v1/api/v1/file-categories/", f"{_ROOT}/")]
