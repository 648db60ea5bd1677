"""Files, their categories, shares and accesses, and the uploads by which they arrive."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from edurise.db import Base, Keyed, PersonScoped, TenantScoped

ACCESSES = ("owner", "staff", "enrolled", "organization", "public")
"""Who may open a file, from the fewest to all: its owner, the course's staff, its learners, members, anybody."""

_LEVELS = "('owner', 'staff', 'enrolled', 'organization', 'public')"


class FileCategory(Keyed, Base):
    """What a file is for, and with it which types and sizes are taken. Rows of the platform belong to no organization.

    ``is_reencoded``: of a picture only its pixels are kept, as encoded by the server.
    """

    __tablename__ = "file_categories"
    __table_args__ = (
        CheckConstraint("max_bytes > 0", name="max_bytes"),
        CheckConstraint(f"default_access IN {_LEVELS}", name="default_access"),
        UniqueConstraint("slug"),
    )

    tenant_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"), index=True)
    slug: Mapped[str]
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    icon: Mapped[str] = mapped_column(default="file")
    extensions: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    max_bytes: Mapped[int] = mapped_column(BigInteger)
    default_access: Mapped[str] = mapped_column(default="owner")
    is_reencoded: Mapped[bool] = mapped_column(default=False)
    is_active: Mapped[bool] = mapped_column(default=True)
    sort_order: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class File(TenantScoped, Base):
    """A file and where its bytes are.

    ``media_type``, ``size_bytes``, ``sha256`` and ``crc32`` are read off the bytes; ``name`` is the sanitised name that
    it came with. ``state_before`` is what a trashed file goes back to. ``link_version`` is part of every signed link:
    counting it up revokes them. ``inspect_at`` is when a file that is being scanned is looked at again.
    """

    __tablename__ = "files"
    __table_args__ = (
        CheckConstraint("size_bytes >= 0", name="size_bytes"),
        CheckConstraint(f"access IN {_LEVELS}", name="access"),
        CheckConstraint(
            "state IN ('uploading', 'scanning', 'ready', 'quarantined', 'failed', 'trashed', 'erased')", name="state"
        ),
        CheckConstraint("scan IN ('pending', 'clean', 'infected', 'not_scanned')", name="scan"),
        CheckConstraint("state <> 'ready' OR sha256 IS NOT NULL", name="ready"),
        CheckConstraint("state <> 'trashed' OR (trashed_at IS NOT NULL AND state_before IS NOT NULL)", name="trashed"),
        CheckConstraint("num_nulls(thumbnail_key, thumbnail_type, thumbnail_bytes) IN (0, 3)", name="thumbnail"),
        CheckConstraint("access NOT IN ('staff', 'enrolled') OR course_id IS NOT NULL", name="of_course"),
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "owner_id", "idempotency_key"),
        UniqueConstraint("key"),
        ForeignKeyConstraint(["tenant_id", "course_id"], ["courses.tenant_id", "courses.id"]),
        Index(None, "tenant_id", "course_id"),
        Index(None, "tenant_id", "created_at"),
        Index(None, "tenant_id", "name"),
        Index(None, "tenant_id", "size_bytes"),
        Index(None, "tenant_id", "download_count"),
        Index("ix_files_inspect_at", "inspect_at", postgresql_where=text("state = 'scanning'")),
        Index("ix_files_thumbnail_key", "thumbnail_key", postgresql_where=text("thumbnail_key IS NOT NULL")),
        Index("ix_files_trashed_at", "trashed_at", postgresql_where=text("state = 'trashed'")),
    )

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("people.id"), index=True)
    course_id: Mapped[UUID | None]
    category_id: Mapped[UUID] = mapped_column(ForeignKey("file_categories.id"), index=True)
    name: Mapped[str]
    extension: Mapped[str]
    title: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text()), default=list)
    media_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    crc32: Mapped[int | None] = mapped_column(BigInteger)
    access: Mapped[str]
    state: Mapped[str]
    state_before: Mapped[str | None]
    scan: Mapped[str] = mapped_column(default="pending")
    scan_note: Mapped[str] = mapped_column(default="")
    failure: Mapped[str | None]
    store: Mapped[str]
    key: Mapped[str]
    thumbnail_key: Mapped[str | None]
    thumbnail_type: Mapped[str | None]
    thumbnail_bytes: Mapped[int | None]
    link_version: Mapped[int] = mapped_column(default=1)
    download_count: Mapped[int] = mapped_column(BigInteger, default=0)
    last_accessed_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    inspect_at: Mapped[datetime | None]
    trashed_at: Mapped[datetime | None]
    idempotency_key: Mapped[str | None]
    idempotency_digest: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class FileShare(TenantScoped, Base):
    """A person who may open a file whatever its access level, as long as they belong to its organization."""

    __tablename__ = "file_shares"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "file_id", "person_id"),
        ForeignKeyConstraint(["tenant_id", "file_id"], ["files.tenant_id", "files.id"], ondelete="CASCADE"),
    )

    file_id: Mapped[UUID]
    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    shared_by: Mapped[UUID | None] = mapped_column(ForeignKey("people.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[datetime]


class FileAccess(TenantScoped, Base):
    """One download: a file was asked for from its first byte. Kept for as long as ``EDU_FILE_ACCESSES_DAYS`` says."""

    __tablename__ = "file_accesses"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        ForeignKeyConstraint(["tenant_id", "file_id"], ["files.tenant_id", "files.id"], ondelete="CASCADE"),
        Index(None, "tenant_id", "file_id", "at"),
        Index(None, "at"),
    )

    file_id: Mapped[UUID]
    person_id: Mapped[UUID | None] = mapped_column(ForeignKey("people.id", ondelete="SET NULL"), index=True)
    ip: Mapped[str]
    at: Mapped[datetime]


class Upload(PersonScoped, Base):
    """Bytes on their way into a store: through a form, by tus, or from the client to the store itself.

    ``size_bytes`` is what was announced and is reserved under ``hold_id``; ``offset_bytes`` is what is safely stored,
    of which the last ``tail_bytes`` lie under ``tail_key``, because they are too few for a part. ``holder`` is the
    request that writes now, ``described_as`` what a client of tus said and may ask for again. A form's upload has no
    file before its bytes have come: only then is it said where it goes.
    """

    __tablename__ = "uploads"
    __table_args__ = (
        CheckConstraint("way IN ('form', 'tus', 'direct')", name="way"),
        CheckConstraint("state IN ('open', 'done', 'dropped')", name="state"),
        CheckConstraint("size_bytes >= 0", name="size_bytes"),
        CheckConstraint("0 <= offset_bytes AND offset_bytes <= size_bytes", name="offset_bytes"),
        CheckConstraint("(tail_key IS NULL) = (tail_bytes = 0)", name="tail"),
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("key"),
        ForeignKeyConstraint(["tenant_id", "file_id"], ["files.tenant_id", "files.id"], ondelete="CASCADE"),
        Index(None, "tenant_id", "file_id"),
        Index("ix_uploads_tail_key", "tail_key", postgresql_where=text("tail_key IS NOT NULL")),
        Index("ix_uploads_expires_at", "expires_at", postgresql_where=text("state = 'open'")),
        Index("ix_uploads_updated_at", "updated_at", postgresql_where=text("state = 'open' AND way <> 'form'")),
    )

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    way: Mapped[str]
    state: Mapped[str] = mapped_column(default="open")
    store: Mapped[str]
    key: Mapped[str]
    store_upload: Mapped[str | None]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    offset_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    tail_key: Mapped[str | None]
    tail_bytes: Mapped[int] = mapped_column(default=0)
    tails: Mapped[int] = mapped_column(default=0)
    described_as: Mapped[str] = mapped_column(default="")
    hold_id: Mapped[UUID | None]
    file_id: Mapped[UUID | None]
    holder: Mapped[UUID | None]
    held_until: Mapped[datetime | None]
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class UploadPart(PersonScoped, Base):
    """A part that is safely stored, as the store calls it."""

    __tablename__ = "upload_parts"
    __table_args__ = (
        CheckConstraint("number BETWEEN 1 AND 10000", name="number"),
        UniqueConstraint("tenant_id", "upload_id", "number"),
        ForeignKeyConstraint(["tenant_id", "upload_id"], ["uploads.tenant_id", "uploads.id"], ondelete="CASCADE"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    upload_id: Mapped[UUID]
    number: Mapped[int]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    tag: Mapped[str]
