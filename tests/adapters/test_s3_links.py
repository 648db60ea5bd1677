"""Presigned URLs of the S3 store, judged by a real S3."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from edurise.adapters.stores import s3_reading
from edurise.adapters.stores.s3_store import S3Store
from edurise.files.ports import Part
from tests.harness.object_storage import REGION, OwnSeaweed
from tests.harness.shelf import Shelf, new_key, noise
from tests.harness.waiting import eventually
from tests.simulators.hostile_proxy import HostileProxy

PROXY_PORT = 23030
DISPOSITION = "attachment; filename=\"lesson.pdf\"; filename*=UTF-8''le%C3%A7on%20%22%3B.pdf"


def store_of(storage: OwnSeaweed, **more: Any) -> S3Store:
    options = {
        "bucket": storage.bucket,
        "region": REGION,
        "endpoint_url": storage.url,
        "access_key_id": storage.access_key_id,
        "secret_access_key": storage.secret_access_key,
        "path_style": True,
    }
    return S3Store(**options | more)


@pytest.fixture
def shelf(object_storage: OwnSeaweed) -> Iterator[Shelf]:
    store = store_of(object_storage)
    with asyncio.Runner() as runner:
        yield Shelf(store, runner.run)
        runner.run(store.close())


@pytest.fixture
def browser() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:
        yield client


def link(shelf: Shelf, key: str, seconds: int = 60) -> str:
    return shelf.run(shelf.store.link(key, seconds, disposition=DISPOSITION, media_type="application/pdf"))


def test_a_link_answers_the_object_with_the_headers_that_it_was_made_with(shelf: Shelf, browser: httpx.Client) -> None:
    key = shelf.run(shelf.put(noise(100_000)))
    answer = browser.get(link(shelf, key))
    assert answer.status_code == 200
    assert answer.content == noise(100_000)
    assert answer.headers["content-disposition"] == DISPOSITION
    assert answer.headers["content-type"] == "application/pdf"
    part = browser.get(link(shelf, key), headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, noise(100_000)[10:20])


def test_a_link_that_was_changed_is_refused(shelf: Shelf, browser: httpx.Client) -> None:
    key, other = shelf.run(shelf.put(b"mine")), shelf.run(shelf.put(b"another's"))
    url = link(shelf, key)
    assert browser.get(url).status_code == 200
    signature = parse_qs(urlsplit(url).query)["X-Amz-Signature"][0]
    for changed in (
        url.replace(key, other),
        url.replace(signature, signature[::-1]),
        url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"),
        url.replace("application%2Fpdf", "text%2Fhtml"),
        url.replace("attachment", "inline"),
    ):
        assert changed != url
        assert browser.get(changed).status_code == 403, changed
    assert browser.put(url, content=b"mine now").status_code == 403
    assert browser.delete(url).status_code == 403
    assert shelf.run(shelf.read(key)) == b"mine"


def test_a_link_ends(shelf: Shelf, browser: httpx.Client) -> None:
    key = shelf.run(shelf.put(b"content"))
    url = link(shelf, key, seconds=2)
    assert browser.get(url).status_code == 200

    async def ended() -> None:
        await eventually(lambda: browser.get(url).status_code == 403, "the link is refused")

    shelf.run(ended())


def test_a_link_of_a_part_takes_that_part_alone(shelf: Shelf, browser: httpx.Client) -> None:
    key, size = new_key(), shelf.store.part_bytes
    upload = shelf.run(shelf.store.begin_parts(key))
    url = shelf.run(shelf.store.part_link(key, upload, 1, size, 60))
    for wrong in (noise(size - 1), noise(size + 1), b""):
        assert browser.put(url, content=wrong).status_code == 403
    assert browser.put(url.replace("partNumber=1", "partNumber=2"), content=noise(size)).status_code == 403
    assert browser.put(url.replace(key, new_key()), content=noise(size)).status_code == 403
    assert list(shelf.run(shelf.store.parts(key, upload))) == []
    answer = browser.put(url, content=noise(size))
    assert answer.status_code == 200
    last = shelf.run(shelf.store.part_link(key, upload, 2, 3, 60))
    assert browser.put(last, content=b"end").status_code == 200
    first, second = shelf.run(shelf.store.parts(key, upload))
    assert first == Part(1, size, answer.headers["etag"].strip('"'))
    shelf.run(shelf.store.join_parts(key, upload, [first, second]))
    assert shelf.run(shelf.read(key)) == noise(size) + b"end"
    assert browser.put(url, content=noise(size)).status_code == 404, "the upload is over"


def test_clients_may_know_the_storage_by_another_name(object_storage: OwnSeaweed, browser: httpx.Client) -> None:
    proxy = HostileProxy(object_storage.port)
    proxy.start(PROXY_PORT)
    store = store_of(object_storage, public_endpoint_url=proxy.url)
    try:
        with asyncio.Runner() as runner:
            shelf = Shelf(store, runner.run)
            key = runner.run(shelf.put(b"content"))
            assert proxy.seen == []
            url = link(shelf, key)
            assert url.startswith(f"{proxy.url}/")
            assert browser.get(url).content == b"content"
            upload = runner.run(store.begin_parts(key))
            assert browser.put(runner.run(store.part_link(key, upload, 1, 3, 60)), content=b"new").status_code == 200
            assert [seen.method for seen in proxy.seen] == ["GET", "PUT"]
            runner.run(store.drop_parts(key, upload))
            runner.run(store.close())
    finally:
        proxy.stop()


def test_lists_come_in_pages(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pages, as S3 gives where there are thousands."""

    async def story() -> None:
        keys = {await shelf.put(b"x") for _ in range(5)}
        uploads = {(key, await shelf.store.begin_parts(key)) for key in [new_key() for _ in range(3)] for _ in range(2)}
        monkeypatch.setattr(s3_reading, "PAGE", 2)
        assert {one.key async for one in shelf.store.listing()} >= keys
        assert {(one.key, one.upload) async for one in shelf.store.unfinished()} >= uploads
        key, upload = next(iter(uploads))
        made = [await shelf.part(key, upload, number, b"x") for number in range(1, 6)]
        assert list(await shelf.store.parts(key, upload)) == made
        for one in uploads:
            await shelf.store.drop_parts(*one)

    shelf.run(story())
