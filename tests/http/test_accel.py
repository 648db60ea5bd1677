"""Local files that nginx sends itself: what clients get is what EduRise would have sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from edurise.adapters.provision import DatabaseUrls
from tests.harness.client import Answer, PlainClient
from tests.harness.filing import FILES, column, kept
from tests.harness.machine import require
from tests.harness.services import NGINX, OwnNginx, scratch
from tests.harness.world import World
from tests.harness.worlds import another

PORT = 23450
CONTENT = b"".join(b"%06d over, under\n" % n for n in range(70_000))
ORIGIN = "https://ui.example"
BLOCK = """
    location /protected/ {
      internal;
      alias %s/files/;
      gzip off;
      # EduRise has weighed the conditions, by tags of its own.
      etag off;
      if_modified_since off;
      # A redirect inside carries over Content-Type, Content-Disposition, Cache-Control and Accept-Ranges alone.
      add_header ETag $upstream_http_etag always;
      add_header X-Content-Type-Options nosniff always;
      add_header Content-Security-Policy $upstream_http_content_security_policy always;
      add_header Cross-Origin-Resource-Policy $upstream_http_cross_origin_resource_policy always;
      add_header Referrer-Policy $upstream_http_referrer_policy always;
      add_header Access-Control-Allow-Origin $upstream_http_access_control_allow_origin always;
      add_header Access-Control-Expose-Headers $upstream_http_access_control_expose_headers always;
      add_header Vary $upstream_http_vary always;
      add_header X-Request-ID $upstream_http_x_request_id always;
    }
"""
SAME = (
    "Content-Type",
    "Content-Disposition",
    "Content-Length",
    "Content-Range",
    "Content-Security-Policy",
    "Cross-Origin-Resource-Policy",
    "Cache-Control",
    "ETag",
    "Referrer-Policy",
    "Access-Control-Allow-Origin",
    "Access-Control-Expose-Headers",
    "X-Content-Type-Options",
    "Vary",
)


class SendingNginx(OwnNginx):
    """Sends files below ``files`` of a data directory where it is told to."""

    data = ""

    def _prepare(self) -> None:
        super()._prepare()
        path = self.directory / "nginx.conf"
        before, after = path.read_text().split("    location / {", 1)
        assert "location / {{" in NGINX
        path.write_text(f"{before}{BLOCK % self.data}    location / {{{after}")


@asynccontextmanager
async def behind_nginx(world: World, database: DatabaseUrls) -> AsyncIterator[tuple[World, SendingNginx]]:
    """A web process that sends by itself, and nginx before one that does not."""
    require("nginx")
    async with (
        another(world, database, cors_origins=(ORIGIN,)) as plain,
        another(world, database, cors_origins=(ORIGIN,), accel_location="/protected/") as before,
    ):
        with scratch() as directory:
            nginx = SendingNginx(directory, PORT, [urlsplit(before.base_url).netloc])
            nginx.data = str(before.c.settings.data_dir.absolute())
            with nginx:
                yield plain, nginx


def told(answer: Answer) -> dict[str, str | None]:
    return {name: answer.headers.get(name) for name in SAME}


@pytest.mark.gen_test
async def test_nginx_sends_what_edurise_would(world: World, database: DatabaseUrls) -> None:
    async with behind_nginx(world, database) as (here, nginx):
        teacher = here.person("teacher", here.organization())
        file_id = await kept(here, teacher, CONTENT, "Knöten.txt")
        public_id = await kept(here, teacher, CONTENT, "Knöten.txt", access_level="public")
        link = (await here.of(teacher).get(f"{FILES}{file_id}/secure_url/")).data["secure_url"]
        shown = (await here.of(teacher).get(f"{FILES}{public_id}/")).data["file"]
        for url in (f"{here.base_url}{FILES}{file_id}/download/", link, shown):
            path = url.removeprefix(here.base_url)
            client = PlainClient(here.base_url, teacher.access, {"Origin": ORIGIN})
            for headers in (
                {},
                {"Range": "bytes=0-9"},
                {"Range": "bytes=-5"},
                {"Range": "bytes=99999999-"},
                {"Range": "bytes=5-9", "If-Range": '"older"'},
                {"If-None-Match": '"older"'},
            ):
                ours = await client.get(path, **headers)
                theirs = await client.at(nginx.url).get(path, **headers)
                assert "X-Accel-Redirect" not in theirs.headers
                assert theirs.status == ours.status
                if ours.status < 300:
                    assert theirs.content == ours.content
                    assert told(theirs) == told(ours)
                if ours.status == 200:
                    assert theirs.headers["Accept-Ranges"] == "bytes"
            tag = ours.headers["ETag"]
            for headers, status in (
                ({"If-None-Match": tag}, 304),
                ({"Range": "bytes=5-9", "If-Range": tag}, 206),
                ({"If-Match": tag}, 200),
                ({"If-Match": '"older"'}, 412),
            ):
                assert (await client.at(nginx.url).get(path, **headers)).status == status
            head = await client.at(nginx.url).call("HEAD", path)
            assert (head.status, head.headers["Content-Length"]) == (200, str(len(CONTENT)))
        direct = f"/protected/{column(here, file_id, 'key')}"
        assert (await PlainClient(nginx.url).get(direct)).status == 404
