"""The ARC test suite of ValiMail, and messages as Google sealed them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mta.model.auth import AuthResult
from mta.rfc.arc.check import check
from mta.rfc.arc.seal import Sealing, seal
from mta.rfc.dkim.body import body_hashes
from mta.rfc.dkim.canonicalize import Headers
from mta.rfc.dkim.sign import BODY
from mta.rfc.mime.header import scan_header
from tests.support.corpora import corpus, files
from tests.support.signatures import auth_message, local_signer, resolver_of

# The suite writes '' where a chain was sealed as failed; RFC 8617 §5.2, step 2, calls that fail.
STATES = {None: AuthResult.NONE, "None": AuthResult.NONE, "Pass": AuthResult.PASS, "Fail": AuthResult.FAIL}
STATES[""] = AuthResult.FAIL


def suites(name: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for suite in yaml.safe_load_all((corpus("arc-valimail") / name).read_text()):
        for case, data in suite["tests"].items():
            yield case, data, suite


def zone(suite: dict[str, Any]) -> dict[str, bytes]:
    """A string of the zone was wrapped by its author; a TXT record has no line ends."""
    return {name: " ".join(text.split()).encode() for name, text in suite["txt-records"].items()}


def as_sent(text: str) -> bytes:
    return re.sub(rb"\r?\n", b"\r\n", text.encode())


async def test_every_chain_is_judged_as_the_suite_says() -> None:
    wrong, count = [], 0
    for case, data, suite in suites("arc-validation-57.yml"):
        outcome = await check(auth_message(as_sent(data["message"])), resolver_of(zone(suite)), 12400)
        count += 1
        if outcome.result is not STATES[data["cv"]]:
            wrong.append((case, data["description"], outcome))
        assert bool(outcome.sealers) is (outcome.result is AuthResult.PASS)
    assert not wrong
    assert count == 57


def own_results(raw: bytes, authserv_id: bytes) -> bytes:
    """The results under our name, of all fields, as one: what the suite expects a sealer to merge."""
    block = scan_header(raw, 100_000)
    values = [re.sub(rb"\s+", b" ", value).strip() for value in block.values(b"authentication-results")]
    ours = [value.partition(b";")[2].strip() for value in values if value.partition(b";")[0].strip() == authserv_id]
    return b"; ".join([authserv_id, *ours])


def in_one_line(tags: str, signature: bytes) -> bytes:
    """A seal signs the folding within b= of the message signature, and the suite's has none."""
    return tags.replace("\r\n b=;", f"\r\n b={base64.b64encode(signature).decode()};").encode() + b"\r\n"


async def test_every_set_that_we_add_is_the_one_of_the_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mta.rfc.arc.seal.insert_signature", in_one_line)
    count = 0
    for case, data, suite in suites("arc-draft-sign-tests.yml"):
        raw, key = as_sent(data["message"]), load_pem_private_key(suite["privatekey"].encode(), None)
        assert isinstance(key, RSAPrivateKey)
        message = auth_message(raw)
        state = (await check(message, resolver_of(zone(suite)), data["t"])).result
        results = own_results(raw, data["srv-id"].encode())
        names = tuple(data["sig-headers"].encode().split(b":"))
        hashed = body_hashes(message, [BODY])[BODY].digest
        signer = local_signer(suite["domain"], suite["sel"], key)
        added = seal(Headers(message.block), hashed, signer, Sealing(results, state, names), data["t"])
        block = scan_header(added + b"\r\n", 100_000)
        ours = {field.name: block.raw[field.value_start : field.end] for field in block.fields}
        for kind, name in (
            ("AS", b"arc-seal"),
            ("AMS", b"arc-message-signature"),
            ("AAR", b"arc-authentication-results"),
        ):
            expected = (data[kind] or "").strip().encode()
            if not expected:
                assert name not in ours, case
                continue
            assert re.sub(rb"\s", b"", ours[name]) == re.sub(rb"\s", b"", expected), case
        count += 1
    assert count == 17


async def test_chains_of_google_pass() -> None:
    found = files("mail-auth/arc", ".txt")
    assert found
    for path in found:
        records, raw = as_sent(path.read_text()).split(b"\r\n\r\n", 1)
        keys = dict(line.split(b" ", 1) for line in records.split(b"\r\n"))
        outcome = await check(
            auth_message(raw), resolver_of({name.decode(): value for name, value in keys.items()}), 1_667_893_900
        )
        assert outcome.result is AuthResult.PASS, (path, outcome)
        assert "google.com" in outcome.sealers or outcome.sealers
