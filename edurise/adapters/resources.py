"""Where a process finds PostgreSQL and Redis: the configured servers, or embedded ones that it starts or joins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edurise.adapters.embedded.postgres import start_postgres
from edurise.adapters.embedded.valkey import start_redis
from edurise.adapters.provision import RolePasswords, provision
from edurise.config import Settings
from edurise.db import Urls


@dataclass
class Resources:
    """Where the data is, and the servers that this process itself started."""

    urls: Urls
    owner_url: str
    redis_url: str
    started: list[Any] = field(default_factory=list)

    def stop(self) -> None:
        for server in reversed(self.started):
            server.stop()


def resources(settings: Settings, *, redis: bool = True) -> Resources:
    """The configured servers, or the embedded ones for what is not configured (never in production)."""
    started: list[Any] = []
    redis_url, urls, owner = settings.redis_url, None, settings.database_owner_url
    if settings.database_url and settings.database_system_url:
        urls = Urls(settings.database_url, settings.database_system_url)
    if urls is None:
        postgres = start_postgres(settings.data_dir / "postgres")
        started.append(postgres)
        made = provision(postgres.admin_url, "edurise", RolePasswords.kept_in(postgres.directory))
        urls, owner = Urls(made.application, made.system), made.owner
    if redis_url is None and redis:
        store = start_redis(settings.data_dir / "redis")
        started.append(store)
        redis_url = store.url
    return Resources(urls, owner or "", redis_url or "", started)
