"""Lists of courses: the public catalogue of all organizations, and an organization's own for its authors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import Boolean, ColumnElement, Double, Text, Uuid, bindparam, case, func, not_, or_, select, type_coerce
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.types import NULLTYPE

from edurise.authz import Grade, Principal
from edurise.courses import views
from edurise.courses.models import CatalogueEntry, Course
from edurise.courses.queries import COURSES
from edurise.money import UNUSUAL
from edurise.paging import Found, Listing, Orderings, Window
from edurise.tenants import queries as tenants

_CATALOGUE = (
    CatalogueEntry.course_id.label("id"),
    CatalogueEntry.tenant_id,
    CatalogueEntry.organization_name,
    CatalogueEntry.instructor_id,
    CatalogueEntry.instructor_first_name,
    CatalogueEntry.instructor_last_name,
    CatalogueEntry.title,
    CatalogueEntry.description,
    CatalogueEntry.category,
    CatalogueEntry.difficulty_level,
    # As the driver returns it: SQLAlchemy's array type would walk every item of every row.
    type_coerce(CatalogueEntry.tags, NULLTYPE).label("tags"),
    CatalogueEntry.price_minor,
    CatalogueEntry.currency,
    CatalogueEntry.duration_weeks,
    CatalogueEntry.max_students,
    CatalogueEntry.thumbnail_url,
    CatalogueEntry.average_rating,
    CatalogueEntry.total_enrollments,
    CatalogueEntry.created_at,
    CatalogueEntry.updated_at,
)
CATALOGUE_ORDER = Orderings(
    "-created_at",
    CatalogueEntry.course_id,
    {
        "created_at": CatalogueEntry.created_at,
        "title": CatalogueEntry.title,
        "price": CatalogueEntry.price_minor,
        "average_rating": CatalogueEntry.average_rating,
        "total_enrollments": CatalogueEntry.total_enrollments,
    },
)
COURSE_ORDER = Orderings(
    "-created_at",
    Course.id,
    {
        "created_at": Course.created_at,
        "title": Course.title,
        "price": Course.price_minor,
        "total_enrollments": Course.total_enrollments,
    },
)


@dataclass(frozen=True)
class Filters:
    """What a list of courses may be narrowed by; None means no filter. Prices are in major units of each course's
    currency."""

    search: str | None = None
    category: str | None = None
    difficulty_level: str | None = None
    instructor: UUID | None = None
    tenant: UUID | None = None
    min_price: float | None = None
    max_price: float | None = None


def marketplace(session: Session, _who: Principal, filters: Filters, window: Window) -> Found:
    """Published courses of every organization; two statements."""
    found = _MARKETPLACE.page(session, asdict(filters) | _words(filters.search), window)
    return Found(found.count, [views.catalogue_view(row) for row in found.rows])


def listing(session: Session, who: Principal, filters: Filters, window: Window) -> Found:
    """Courses as the caller may see them: authors see their organization's, drafts included; everybody else the
    catalogue."""
    if not who.stands(Grade.ADMINISTRATOR, Grade.TEACHER, Grade.PLATFORM) or filters.tenant not in (None, who.tenant):
        return marketplace(session, who, filters, window)
    sees_all = who.stands(Grade.ADMINISTRATOR, Grade.PLATFORM)
    given = asdict(filters) | {"author": None if sees_all else who.person, "tenant": None}
    found = _OWN.page(session, given, _without_rating(window))
    owner = {"id": who.tenant, "name": tenants.name_of(session, who)}
    owned = {"organization": owner, "organization_name": owner["name"]}
    return Found(found.count, [views.course_view(row) | owned for row in found.rows])


# A phrase in quotation marks is one word, whatever signs it holds.
_TOKEN = re.compile(r'-?"[^"]*"|\S+')


def _words(search: str | None) -> dict[str, str | None]:
    """What is searched for, and what is excluded by ``-word``: a course that holds such a word in either reading
    goes."""
    words = _TOKEN.findall(search or "")
    unwanted = [word[1:] for word in words if word.startswith("-") and len(word) > 1]
    wanted = " ".join(word for word in words if not word.startswith("-"))
    return {"search": wanted or None, "without": " or ".join(unwanted) or None}


def _holding(name: str) -> ColumnElement[bool]:
    """Whether an entry holds the words of a bind parameter, as they are or by their English stems."""
    words = bindparam(name, type_=Text())
    query = func.websearch_to_tsquery("simple", words).op("||")(func.websearch_to_tsquery("english", words))
    return CatalogueEntry.search.op("@@", return_type=Boolean())(query)


def _filters(
    category: InstrumentedAttribute[str],
    difficulty_level: InstrumentedAttribute[str],
    instructor: InstrumentedAttribute[UUID],
    price_minor: InstrumentedAttribute[int],
    currency: InstrumentedAttribute[str],
) -> Mapping[str, ColumnElement[bool]]:
    """The conditions that both lists share."""
    return {
        "category": category == bindparam("category", type_=Text()),
        "difficulty_level": difficulty_level == bindparam("difficulty_level", type_=Text()),
        "instructor": instructor == bindparam("instructor", type_=Uuid()),
        "min_price": price_minor >= _minor_of(currency, "min_price"),
        "max_price": price_minor <= _minor_of(currency, "max_price"),
    }


def _minor_of(currency: InstrumentedAttribute[str], name: str) -> ColumnElement[float]:
    """The major units of a bind parameter in the minor units of each row's currency."""
    amount: ColumnElement[float] = bindparam(name, type_=Double())
    special = [(currency.in_(sorted(names)), func.round(amount * 10**places)) for places, names in UNUSUAL.items()]
    return case(*special, else_=func.round(amount * 100))


def _without_rating(window: Window) -> Window:
    """An organization's own list is not ordered by rating; it falls back to its default."""
    return window if window.ordering.removeprefix("-") in COURSE_ORDER.columns else Window(window.number, window.size)


_WORDS = bindparam("search", type_=Text())
_MARKETPLACE = Listing(
    select(*_CATALOGUE),
    CATALOGUE_ORDER,
    {
        "search": _holding("search"),
        "without": not_(_holding("without")),
        "tenant": CatalogueEntry.tenant_id == bindparam("tenant", type_=Uuid()),
        **_filters(
            CatalogueEntry.category,
            CatalogueEntry.difficulty_level,
            CatalogueEntry.instructor_id,
            CatalogueEntry.price_minor,
            CatalogueEntry.currency,
        ),
    },
)
_OWN = Listing(
    COURSES,
    COURSE_ORDER,
    {
        # Inside one organization there are hundreds of courses, not millions: under row-level security no text index
        # could be used anyway.
        "search": func.strpos(func.lower(Course.title), func.lower(_WORDS)) > 0,
        "author": or_(Course.instructor_id == bindparam("author", type_=Uuid()), Course.status == "published"),
        **_filters(Course.category, Course.difficulty_level, Course.instructor_id, Course.price_minor, Course.currency),
    },
)
