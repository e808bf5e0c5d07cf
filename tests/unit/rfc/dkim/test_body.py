"""Body hashes: the same however the body arrives, those of the standard, and bounded whatever comes."""

from __future__ import annotations

import hashlib
import re
import time
import tracemalloc

import dkim.canonicalization
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mta.rfc.dkim.body import WINDOW, AuthMessage, BodyHash, BodyHasher, BodyRequest, body_hashes
from mta.rfc.dkim.canonicalize import Canonicalization
from mta.rfc.mime.header import scan_header
from tests.support.patience import cpu

SIMPLE, RELAXED = BodyRequest(Canonicalization.SIMPLE), BodyRequest(Canonicalization.RELAXED)
BODIES = st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"\r", b"\n", b"a", b"\xff", b" \r\n", b"  x"])).map(b"".join)


def slowly(body: bytes, form: Canonicalization) -> bytes:
    """RFC 6376 §3.4.3 and §3.4.4, word for word."""
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    if form is Canonicalization.RELAXED:
        body = re.sub(rb"[ \t]+\r\n", b"\r\n", body)
        body = re.sub(rb"[ \t]+", b" ", body)
    while body.endswith(b"\r\n\r\n"):
        body = body[:-2]
    if body in (b"", b"\r\n"):
        return b"\r\n" if form is Canonicalization.SIMPLE else b""
    return body


def hashes(pieces: list[bytes], *requests: BodyRequest) -> dict[BodyRequest, BodyHash]:
    hasher = BodyHasher(requests)
    for piece in pieces:
        hasher.feed(piece)
    return hasher.finish()


def of(canonical: bytes, whole: int | None = None) -> BodyHash:
    return BodyHash(hashlib.sha256(canonical).digest(), len(canonical) if whole is None else whole)


@pytest.mark.parametrize("request_", [SIMPLE, RELAXED], ids=["simple", "relaxed"])
@given(body=BODIES | BODIES.map(lambda body: body + b"a\r\n"))
@example(body=b"a  b\r\n")
@example(body=b"a b \r\n")
@example(body=b"a b\r\n\r\n")
@example(body=b"\r\n")
@example(body=b"a b\r\n")
def test_a_small_body_in_memory_is_hashed_no_otherwise(body: bytes, request_: BodyRequest) -> None:
    raw = b"From: a@b.example\r\n\r\n" + body
    message = AuthMessage.in_memory(scan_header(raw, 100))
    assert body_hashes(message, [request_])[request_] == of(slowly(body, request_.form))


@pytest.mark.parametrize("request_", [SIMPLE, RELAXED], ids=["simple", "relaxed"])
@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"\r\n", b"\r\n\r\n\r\n", b"  \r\n\t\r\n", b" ", b"\t\r\n \r", b"a", b"a \t", b"a\r", b"a\r\n\r"),
        *(b"a \r \n", b" C \r\nD \t E\r\n\r\n\r\n", b"a\r\r\n\r\n", b"a\n\r\n\r\n", b"a\r\n\r\n\n\r\n\r\n"),
        *(b"\r\n\r\na", b"a\r\n \r\n"),
    ],
)
def test_the_form_is_that_of_the_standard(body: bytes, request_: BodyRequest) -> None:
    assert hashes([body], request_)[request_] == of(slowly(body, request_.form))


@given(BODIES, st.integers(1, 7))
@example(b"a \r\n\r\n b", 1)
def test_an_octet_at_a_time_equals_all_at_once(body: bytes, size: int) -> None:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    found = hashes(pieces, SIMPLE, RELAXED)
    assert found == hashes([body], SIMPLE, RELAXED)
    assert found[SIMPLE] == of(slowly(body, Canonicalization.SIMPLE))
    assert found[RELAXED] == of(slowly(body, Canonicalization.RELAXED))


@given(st.binary(max_size=200).map(lambda body: re.sub(rb"[\r\n]", b"", body) + b"\r\n") | st.just(b""))
def test_the_forms_are_those_of_dkimpy(body: bytes) -> None:
    found = hashes([body], SIMPLE, RELAXED)
    assert found[SIMPLE] == of(dkim.canonicalization.Simple.canonicalize_body(body))
    assert found[RELAXED] == of(dkim.canonicalization.Relaxed.canonicalize_body(body))


@given(BODIES, st.lists(st.integers(0, 40), max_size=6))
def test_every_length_is_hashed_in_the_same_pass(body: bytes, lengths: list[int]) -> None:
    requests = [BodyRequest(form, length) for form in Canonicalization for length in lengths]
    found = hashes([body], *requests)
    for request in requests:
        canonical = slowly(body, request.form)
        assert found[request] == of(canonical[: request.length], len(canonical))


@pytest.mark.parametrize("edge", range(-3, 4))
@pytest.mark.parametrize("what", [b"\r\n", b" \t\r\n", b"  ", b"\r\n\r\n", b"\r", b" \r\n\r\n "])
def test_the_edge_of_a_window_makes_no_difference(edge: int, what: bytes) -> None:
    for end in (b"x", b"", b"\r\n"):
        body = b"x" * (WINDOW + edge) + what + end
        found = hashes([body], SIMPLE, RELAXED)
        assert found[SIMPLE] == of(slowly(body, Canonicalization.SIMPLE))
        assert found[RELAXED] == of(slowly(body, Canonicalization.RELAXED))


@pytest.mark.parametrize(
    "unit",
    [
        b"\r\n",
        b" ",
        b"\t",
        b"\r",
        b"\n",
        b" \r\n",
        b"x",
        b"  x",
        b" \r",
        b"\r\r\n",
        b" " * 63 + b"x",
        b"x" + b" " * 9000,
    ],
    ids=lambda unit: repr(unit[:64]),
)
def test_no_body_costs_more_than_its_size(unit: bytes) -> None:
    size = 8 << 20
    pieces = [memoryview(unit * (size // len(unit)))]
    hasher = BodyHasher([SIMPLE, RELAXED])
    tracemalloc.start()
    try:
        start = time.process_time()
        for piece in pieces:
            hasher.feed(piece)
        hasher.finish()
        spent = time.process_time() - start
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20
    assert spent < cpu(4)


def test_the_body_is_read_once_for_all_and_not_again_for_what_is_known() -> None:
    raw = b"A: 1\r\n\r\nbody \r\n"
    reads: list[int] = []

    def body() -> list[bytes]:
        reads.append(1)
        return [b"body", b" \r\n"]

    message = AuthMessage(scan_header(raw, 100), body)
    first = body_hashes(message, [SIMPLE, RELAXED, SIMPLE])
    assert body_hashes(message, [RELAXED]) == {RELAXED: first[RELAXED]}
    assert len(reads) == 1
    assert first == body_hashes(AuthMessage.in_memory(scan_header(raw, 100)), [SIMPLE, RELAXED])
    assert body_hashes(message, [BodyRequest(Canonicalization.SIMPLE, 1)])
    assert len(reads) == 2
