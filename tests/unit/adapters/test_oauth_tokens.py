"""Tokens from an issuer on loopback: kept, fetched once for all, never told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs, quote, quote_plus

import pytest

from mta.adapters.oauth_tokens import OAuthTokens
from mta.errors import TokenNotGiven
from mta.ports import AccessGrant
from tests.support.fake_resolver import FakeResolver
from tests.support.http_peer import HttpPeer, http_peer

SECRET = "s3cr3t-of-ours"


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def issuer() -> Iterator[HttpPeer]:
    with http_peer() as peer:
        peer.answers["/token"] = lambda _: numbered(peer)
        yield peer


def numbered(peer: HttpPeer, **more: object) -> bytes:
    answer = {"access_token": f"t{len(peer.requests)}", "token_type": "Bearer", "expires_in": 600, **more}
    return json.dumps(answer).encode()


def grant(peer: HttpPeer) -> AccessGrant:
    return AccessGrant(peer.url("/token"), "relay", SECRET, "scope")


def tokens(clock: Clock | None = None, patience: float = 20.0) -> OAuthTokens:
    return OAuthTokens(FakeResolver, clock or Clock(), patience=patience)


async def test_one_fetch_serves_all_until_shortly_before_its_end(issuer: HttpPeer) -> None:
    clock = Clock()
    source = tokens(clock)
    assert set(await asyncio.gather(*(source.token(grant(issuer)) for _ in range(20)))) == {"t1"}
    clock.at += 539
    assert await source.token(grant(issuer)) == "t1"
    clock.at += 2  # less than a minute is left
    assert await source.token(grant(issuer)) == "t2"
    assert [request[:2] for request in issuer.requests] == [("POST", "/token")] * 2
    assert parse_qs(issuer.requests[0][3].decode()) == {
        "grant_type": ["client_credentials"], "client_id": ["relay"], "client_secret": [SECRET], "scope": ["scope"],
    }  # fmt: skip


async def test_a_token_that_was_refused_is_exchanged_once_for_all_who_had_it(issuer: HttpPeer) -> None:
    source = tokens()
    first = await source.token(grant(issuer))
    source.refused(grant(issuer), first)
    second = await source.token(grant(issuer))
    source.refused(grant(issuer), first)  # another delivery that had it
    assert await source.token(grant(issuer)) == second


async def test_another_secret_is_another_grant(issuer: HttpPeer) -> None:
    source = tokens()
    await source.token(grant(issuer))
    assert await source.token(replace(grant(issuer), client_secret="new")) == "t2"


async def test_a_refresh_token_that_the_issuer_exchanges_is_used_from_then_on(issuer: HttpPeer) -> None:
    issuer.answers["/token"] = lambda _: numbered(issuer, refresh_token=f"r{len(issuer.requests)}")
    wanted = replace(grant(issuer), refresh_token="r0")
    source = tokens()
    for _ in range(2):
        source.refused(wanted, await source.token(wanted))
    sent = [parse_qs(request[3].decode())["refresh_token"] for request in issuer.requests]
    assert sent == [["r0"], ["r1"]]


async def test_what_the_issuer_answers_is_told_without_the_secret(issuer: HttpPeer) -> None:
    said = json.dumps({"error": "invalid_client", "error_description": f"{SECRET} is wrong"}).encode()
    issuer.answers["/token"] = (401, {}, said)
    with pytest.raises(TokenNotGiven, match=r"answered 401: invalid_client: \*\*\* is wrong"):
        await tokens().token(grant(issuer))
    assert SECRET not in repr(grant(issuer))


@pytest.mark.parametrize("secret", [SECRET, "with space+plus/slash%", "ä-umlaut"])
async def test_no_piece_of_a_secret_is_told_as_it_was_sent_or_where_a_long_text_is_cut(
    issuer: HttpPeer, secret: str
) -> None:
    source = tokens()
    for padding in range(240, 310, 3):
        for told in (secret, quote_plus(secret), quote(secret)):
            description = "x" * padding + " " + told
            answer = json.dumps({"error": "invalid_client", "error_description": description}).encode()
            issuer.answers["/token"] = lambda _, answer=answer: (401, answer)  # type: ignore[misc]
            with pytest.raises(TokenNotGiven) as caught:
                await source.token(replace(grant(issuer), client_secret=secret))
            assert secret[:4] not in str(caught.value)
            assert quote(secret)[:4] not in str(caught.value)
            assert len(str(caught.value)) < 400


async def test_no_redirect_carries_the_secret_away(issuer: HttpPeer) -> None:
    issuer.answers["/token"] = (307, {"Location": issuer.url("/elsewhere")}, b"")
    with pytest.raises(TokenNotGiven, match="answered 307"):
        await tokens().token(grant(issuer))
    assert len(issuer.requests) == 1


async def test_nobody_waits_for_ever_nor_reads_without_end(issuer: HttpPeer) -> None:
    issuer.answers["/token"] = b"x" * (1 << 18)
    with pytest.raises(TokenNotGiven, match="larger than"):
        await tokens().token(grant(issuer))
    with pytest.raises(TokenNotGiven, match="token: "):
        await tokens().token(replace(grant(issuer), url="http://127.0.0.1:1/token"))


async def test_who_gives_up_does_not_take_the_token_from_the_others(issuer: HttpPeer) -> None:
    source = tokens()
    one, other = (asyncio.ensure_future(source.token(grant(issuer))) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    assert await other == "t1"
