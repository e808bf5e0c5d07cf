"""Fetching what certificates name: whom it may ask, and within which bounds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mta.adapters.judge import fetch as module
from mta.adapters.judge.fetch import Answer, Fetcher, FetchFailed, FetchSettings, listed
from tests.support.fake_resolver import TEMPORARY, FakeResolver
from tests.support.http_peer import HttpPeer, http_peer


@pytest.fixture
def peer() -> Iterator[HttpPeer]:
    with http_peer() as running:
        yield running


def fetcher(peer: HttpPeer, *hosts: str, public: bool = False, zone: Any = None, timeout: float = 5.0) -> Fetcher:
    resolver = FakeResolver(zone or {("crl.x.example", "A"): ["127.0.0.1"]})
    allowed = tuple(f"{host}:{peer.port}" for host in hosts)
    return Fetcher(FetchSettings(allowed, public, timeout), lambda: resolver)


def for_an_hour(body: bytes) -> Answer:
    return Answer(body, len(body), 3600.0)


async def get(one: Fetcher, url: str, body: bytes = b"") -> bytes:
    try:
        return await one.fetch(url, body, read=for_an_hour)
    finally:
        await one.close()


async def test_a_listed_host_is_asked_by_its_name(peer: HttpPeer) -> None:
    peer.answers["/a.crl?x=1"] = b"a list"
    assert await get(fetcher(peer, "crl.x.example"), peer.url("/a.crl?x=1", "crl.x.example")) == b"a list"
    assert peer.requests == [("GET", "/a.crl?x=1", f"crl.x.example:{peer.port}", b"")]


async def test_an_ocsp_request_is_posted(peer: HttpPeer) -> None:
    peer.answers["/"] = b"an answer"
    assert await get(fetcher(peer, "127.0.0.1"), peer.url("/"), b"a request") == b"an answer"
    assert peer.requests[0][0::3] == ("POST", b"a request")


@pytest.mark.parametrize(
    "url",
    [
        "https://crl.x.example/",
        "ldap://crl.x.example/cn=ca?certificateRevocationList",
        "file:///etc/passwd",
        "http:///x",
        "http://user@crl.x.example/",
        "http://[::1/",
        "http://other.x.example/",
        "http://crl.x.example/",  # listed at another port
        "http://crl.x.example.evil.example:{port}/",
        "http://127.0.0.1:{port}/",
        "http://crl.x.example:99999/",
    ],
)
async def test_what_is_never_asked(peer: HttpPeer, url: str) -> None:
    with pytest.raises(FetchFailed) as told:
        await get(fetcher(peer, "crl.x.example"), url.replace("{port}", str(peer.port)))
    assert not told.value.allowed
    assert peer.requests == []


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "0.0.0.0"]
)
async def test_a_public_name_that_leads_to_a_private_address_is_not_asked(peer: HttpPeer, address: str) -> None:
    one = fetcher(peer, public=True, zone={("evil.example", "A"): [address]})
    with pytest.raises(FetchFailed, match="no public address"):
        await get(one, "http://evil.example/")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://[::1]/", "http://localhost/", "http://[::ffff:10.0.0.1]/"]
)
async def test_nor_is_this_machine(peer: HttpPeer, url: str) -> None:
    with pytest.raises(FetchFailed):
        await get(fetcher(peer, public=True), url)


async def test_public_is_port_80_only(peer: HttpPeer) -> None:
    with pytest.raises(FetchFailed, match="not on the list"):
        await get(fetcher(peer, public=True, zone={("x.example", "A"): ["8.8.8.8"]}), "http://x.example:8080/")


@pytest.mark.parametrize(
    ("entry", "host", "port", "is_listed"),
    [
        ("a.example", "a.example", 80, True),
        ("a.example", "a.example", 8080, False),
        ("a.example", "b.a.example", 80, False),
        ("*.a.example", "b.a.example", 80, True),
        ("*.a.example", "c.b.a.example", 80, True),
        ("*.a.example", "a.example", 80, False),
        ("*.a.example", "evila.example", 80, False),
        ("*.a.example:81", "b.a.example", 81, True),
        ("10.1.2.3:8080", "10.1.2.3", 8080, True),
        ("2001:db8::1", "2001:db8::1", 80, True),
        ("[2001:db8::1]:81", "2001:db8::1", 81, True),
    ],
)
def test_the_list_of_hosts(entry: str, host: str, port: int, is_listed: bool) -> None:
    assert listed((entry,), host, port) is is_listed


BAD: list[tuple[Any, str]] = [
    ((302, {"Location": "http://127.0.0.1/"}, b""), "HTTP status 302"),
    ((404, {}, b"no"), "HTTP status 404"),
    ((500, {}, b""), "HTTP status 500"),
    (b"x" * 5000, "larger than"),
    ((200, {"Content-Length": "99999"}, b"short"), "http://"),
]


@pytest.mark.parametrize(("answer", "words"), BAD)
async def test_answers_that_are_none(peer: HttpPeer, answer: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 4000)
    peer.answers["/x"] = answer
    with pytest.raises(FetchFailed, match=words) as told:
        await get(fetcher(peer, "127.0.0.1", timeout=1.0), peer.url("/x"))
    assert told.value.allowed
    assert len(peer.requests) == 1  # a redirect is not followed


async def test_a_compressed_answer_stays_as_it_came(peer: HttpPeer) -> None:
    import gzip

    bomb = gzip.compress(b"\0" * 1_000_000)
    peer.answers["/x"] = (200, {"Content-Encoding": "gzip"}, bomb)
    assert await get(fetcher(peer, "127.0.0.1"), peer.url("/x")) == bomb


async def test_a_silent_server_has_its_time(peer: HttpPeer) -> None:
    peer.gate = threading.Event()
    with pytest.raises(FetchFailed, match=r"no answer within 0\.1 s"):
        await get(fetcher(peer, "127.0.0.1", timeout=0.1), peer.url("/x"))


async def test_a_name_that_cannot_be_looked_up_now(peer: HttpPeer) -> None:
    with pytest.raises(FetchFailed, match="has no address") as told:
        await get(
            fetcher(peer, "crl.x.example", zone={("crl.x.example", "A"): TEMPORARY}), peer.url("/", "crl.x.example")
        )
    assert told.value.allowed


async def test_answers_are_kept_and_shared_and_so_are_failures(peer: HttpPeer) -> None:
    peer.answers["/x"] = b"a list"
    one = fetcher(peer, "127.0.0.1")
    found = await asyncio.gather(*(one.fetch(peer.url("/x"), read=for_an_hour) for _ in range(5)))
    await one.fetch(peer.url("/x"), read=for_an_hour)
    assert (set(found), len(peer.requests)) == ({b"a list"}, 1)
    for _ in range(2):
        with pytest.raises(FetchFailed):
            await one.fetch(peer.url("/missing"), read=for_an_hour)
    assert len(peer.requests) == 2
    await one.fetch(peer.url("/x"), b"body", read=for_an_hour)  # another question
    assert len(peer.requests) == 3
    await one.close()


async def test_what_is_no_list_is_a_failure_and_an_old_one_is_asked_for_again(peer: HttpPeer) -> None:
    peer.answers["/x"] = b"nonsense"

    def refuse(body: bytes) -> Answer:
        raise ValueError("no list")

    one = fetcher(peer, "127.0.0.1")
    with pytest.raises(FetchFailed, match="no list"):
        await one.fetch(peer.url("/x"), read=refuse)
    peer.answers["/old"] = b"old"
    for _ in range(2):
        assert await one.fetch(peer.url("/old"), read=lambda body: Answer(body, len(body), -1.0)) == b"old"
    assert [path for _, path, _, _ in peer.requests] == ["/x", "/old", "/old"]
    await one.close()


async def test_no_more_octets_are_kept_than_allowed(peer: HttpPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OCTETS", 250)
    one = fetcher(peer, "127.0.0.1")
    for path in ("/a", "/b", "/c", "/a", "/c"):
        peer.answers[path] = b"x" * 100
        await one.fetch(peer.url(path), read=for_an_hour)
    assert [path for _, path, _, _ in peer.requests] == ["/a", "/b", "/c", "/a"]
    await one.close()


async def test_an_answer_is_read_once_and_not_on_the_loop(peer: HttpPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read counts with the memory that it takes, which is more than its octets."""
    monkeypatch.setattr(module, "MOST_OCTETS", 2500)
    readers: list[int] = []

    def read(body: bytes) -> Answer:
        readers.append(threading.get_ident())
        return Answer([body], 1000, 3600.0)

    one = fetcher(peer, "127.0.0.1")
    peer.answers |= dict.fromkeys(("/a", "/b", "/c"), b"x")
    found = await asyncio.gather(*(one.fetch(peer.url("/a"), read=read) for _ in range(5)))
    assert all(each is found[0] for each in found)
    assert len(readers) == 1
    assert threading.get_ident() not in readers
    for path in ("/b", "/c", "/a"):  # there is room for two
        await one.fetch(peer.url(path), read=read)
    assert [path for _, path, _, _ in peer.requests] == ["/a", "/b", "/c", "/a"]
    await one.close()
