"""Reports by HTTPS: to whom the certificate says, at public addresses, once, and with an end."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.adapters.https_post import HttpsPoster
from mta.ports import Posted
from tests.support.fake_resolver import TEMPORARY, FakeResolver
from tests.support.https_server import HttpsServer, https_server
from tests.support.pki import authority

NAME, OTHER = "collector.example", "other.example"


@pytest.fixture(scope="module")
def server() -> Iterator[HttpsServer]:
    with https_server(authority(), NAME) as running:
        yield running


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    path: Path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority().write(path)
    return ssl.create_default_context(cafile=str(path))


async def post(server: HttpsServer, trust: ssl.SSLContext | None, host: str = NAME, *, private: bool = True) -> Posted:
    names = FakeResolver({(NAME, "A"): ["127.0.0.1"], (OTHER, "A"): ["127.0.0.1"], ("slow.example", "A"): TEMPORARY})
    poster = HttpsPoster(lambda: names, trust)
    return await poster.post(f"https://{host}:{server.port}/v1", "application/tlsrpt+gzip", b"report", private=private)


async def test_a_report_is_posted(server: HttpsServer, trust: ssl.SSLContext) -> None:
    before = len(server.requests)
    assert await post(server, trust) == Posted(True, "201 Created")
    request = server.requests[before]
    assert (request.path, request.body) == ("/v1", b"report")
    assert request.headers["content-type"] == "application/tlsrpt+gzip"


async def test_a_redirect_is_not_followed(server: HttpsServer, trust: ssl.SSLContext) -> None:
    before = len(server.requests)
    server.status, server.location = 307, f"https://{NAME}:{server.port}/elsewhere"
    try:
        answer = await post(server, trust)
    finally:
        server.status, server.location = 201, ""
    assert (answer.accepted, answer.detail[:3]) == (False, "307")
    assert len(server.requests) == before + 1


@pytest.mark.parametrize(
    ("host", "private", "why"),
    [
        (OTHER, True, "Certificate"),
        ("127.0.0.1", True, "Certificate"),
        (NAME, False, "no public address"),
        ("[::ffff:127.0.0.1]", False, "no public address"),
        ("[64:ff9b::7f00:1]", False, "no public address"),
        ("[fec0::1]", False, "no public address"),
        ("224.0.0.1", False, "no public address"),
        ("slow.example", True, "temporary"),
        ("nowhere.example", True, "nxdomain"),
    ],
)
async def test_who_is_not_told(server: HttpsServer, trust: ssl.SSLContext, host: str, private: bool, why: str) -> None:
    before = len(server.requests)
    answer = await post(server, trust, host, private=private)
    assert not answer.accepted
    assert why.lower() in answer.detail.lower()
    assert len(server.requests) == before


async def test_an_unknown_authority_is_not_trusted(server: HttpsServer) -> None:
    assert not (await post(server, None)).accepted
