"""Asking an issuer for a token, and what its answer is worth."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.oauth.token import Token, form, read


def test_what_is_asked() -> None:
    assert form("id", "secret", "scope", "") == {
        "grant_type": "client_credentials", "client_id": "id", "client_secret": "secret", "scope": "scope",
    }  # fmt: skip
    assert form("id", "", "", "again") == {
        "grant_type": "refresh_token", "refresh_token": "again", "client_id": "id",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "token"),
    [
        ({"access_token": "t", "token_type": "Bearer", "expires_in": 3599}, Token("t", 3599.0)),
        ({"access_token": "t", "token_type": "bearer", "expires_in": "3599"}, Token("t", 3599.0)),  # as some say it
        ({"access_token": "t", "token_type": "bearer"}, Token("t", 300.0)),
        ({"access_token": "t", "token_type": "bearer", "expires_in": -1}, Token("t", 300.0)),
        ({"access_token": "t", "token_type": "bearer", "expires_in": True}, Token("t", 300.0)),
        ({"access_token": "t", "token_type": "bearer", "refresh_token": "r"}, Token("t", 300.0, "r")),
    ],
)
def test_a_token(answer: dict[str, object], token: Token) -> None:
    assert read(200, json.dumps(answer).encode()) == token


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (401, b'{"error":"invalid_client","error_description":"AADSTS7000215: Invalid\\r\\nsecret"}',
         "it answered 401: invalid_client: AADSTS7000215: Invalid secret"),
        (400, b"{}", "it answered 400"),
        (302, b"", "it answered 302 with something that is no JSON object"),
        (200, b"<html>", "it answered 200 with something that is no JSON object"),
        (200, b'{"token_type":"bearer"}', "it answered 200 without an access_token"),
        (200, b'{"token_type":"bearer","access_token":"a\\u0001b"}', "it answered 200 without an access_token"),
        (200, b'{"token_type":"mac","access_token":"a"}', "its token is of the type mac, not Bearer"),
    ],
)  # fmt: skip
def test_no_token_and_why(status: int, body: bytes, why: str) -> None:
    assert read(status, body) == why


@given(st.integers(100, 599), st.binary(max_size=200))
def test_anything_is_an_answer(status: int, body: bytes) -> None:
    assert isinstance(read(status, body), str | Token)
