"""Witnesses by HTTPS: to whom the certificate says, no redirects, and with an end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mta.adapters.witness_door import HttpsWitnesses
from mta.errors import WitnessAway
from mta.model.tls import TrustAnchors
from tests.support.fake_resolver import FakeResolver
from tests.support.https_server import HttpsServer, https_server
from tests.support.pki import anchors, authority

NAME = "witness.example"


@pytest.fixture(scope="module")
def server() -> Iterator[HttpsServer]:
    with https_server(authority(), NAME) as running:
        yield running


def door() -> HttpsWitnesses:
    return HttpsWitnesses(lambda: FakeResolver({(NAME, "A"): ["127.0.0.1"]}))


async def test_a_request_is_posted_and_any_status_is_an_answer(server: HttpsServer) -> None:
    server.status, server.location = 307, "https://elsewhere.example/"
    try:
        answer = await door().ask(f"https://{NAME}:{server.port}/log/add-checkpoint", anchors(authority()), b"old 0")
    finally:
        server.status, server.location = 201, ""
    assert (answer.status, answer.body) == (307, b"")
    assert (server.requests[-1].path, server.requests[-1].body) == ("/log/add-checkpoint", b"old 0")


@pytest.mark.parametrize(
    ("host", "trust"),
    [(NAME, None), ("other.example", anchors(authority())), (NAME, anchors(authority("Other")))],
    ids=["system", "unknown-host", "other-ca"],
)
async def test_who_is_not_the_witness_gets_nothing(server: HttpsServer, host: str, trust: TrustAnchors | None) -> None:
    before = len(server.requests)
    with pytest.raises(WitnessAway, match=host):
        await door().ask(f"https://{host}:{server.port}/log/add-checkpoint", trust, b"old 0")
    assert len(server.requests) == before
