"""The key server's protocol: requests as clients write them, answers as they read them, and nothing else taken."""

from __future__ import annotations

import base64
import gzip
import json
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from mta.errors import KasError
from mta.rfc.jose.algorithms import ALGORITHMS, signer
from mta.rfc.jose.jwt import make_token
from mta.rfc.kas import proto
from mta.rfc.kas.refuse import http_error, result_error
from mta.rfc.kas.request import (
    JSON,
    PROTO,
    RewrapRequest,
    read_public_key,
    read_rewrap,
    read_token,
    unpacked,
)
from mta.rfc.kas.respond import (
    KeyResult,
    codec_of,
    write_configuration,
    write_key_servers,
    write_legacy_public_key,
    write_legacy_rewrap,
    write_public_key,
    write_rewrap,
)
from mta.rfc.kas.session import SALT, Session, pem
from mta.rfc.kas.wellknown import BaseKey, Issuer, is_offered, opentdf_configuration, opentdf_document
from mta.rfc.tdf.policy import bind
from mta.rfc.tdf.share import OAEP
from tests.support.protected import KEY, POLICY

NOW = 1_800_000_000.0
SIGNING = rsa.generate_private_key(65537, 2048)
CLIENT = rsa.generate_private_key(65537, 2048)
CLIENT_PEM = pem(CLIENT.public_key())
ACCESS = {
    "type": "wrapped",
    "url": "https://keys.contoso.example/kas",
    "protocol": "kas",
    "kid": "r1+s",
    "sid": "",
    "wrappedKey": base64.b64encode(bytes(317)).decode(),
    "policyBinding": {"alg": "HS256", "hash": bind(KEY, POLICY)},
    "encryptedMetadata": "",
    "ephemeralPublicKey": "",
}


def body(**changes: Any) -> dict[str, Any]:
    keys = [{"keyAccessObjectId": "kao-0", "keyAccessObject": ACCESS}]
    requests = [{"algorithm": "", "policy": {"id": "policy", "body": POLICY}, "keyAccessObjects": keys}]
    return {"clientPublicKey": CLIENT_PEM, "requests": requests, **changes}


def srt(content: Any, alg: str = "RS256", **claims: Any) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    return make_token(
        {"requestBody": text, "iat": NOW, "exp": NOW + 60, **claims}, {"alg": alg}, signer(ALGORITHMS["RS256"], SIGNING)
    )


def asked(content: Any = None, **claims: Any) -> RewrapRequest:
    return read_token(srt(body() if content is None else content, **claims), NOW, SIGNING.public_key())


# --- requests ---


def test_a_request_of_today() -> None:
    request = asked()
    assert (request.client_key, request.verified, request.legacy) == (CLIENT_PEM, True, False)
    [key] = request.keys
    assert (key.policy_id, key.policy, key.key_id) == ("policy", POLICY, "kao-0")
    assert (key.access.kid, key.access.wrapped, len(key.access.binding)) == ("r1+s", bytes(317), 64)


def test_a_request_of_older_clients() -> None:
    request = asked(
        {
            "keyAccess": {**ACCESS, "policyBinding": bind(KEY, POLICY)},
            "policy": POLICY,
            "clientPublicKey": CLIENT_PEM,
            "algorithm": "RS256",
        }
    )
    assert request.legacy
    assert [key.policy for key in request.keys] == [POLICY]


def test_both_forms_in_one_request_are_the_newer_one() -> None:
    """As otdf-python sends it."""
    request = asked(body(keyAccess=ACCESS, policy=POLICY))
    assert (request.legacy, len(request.keys)) == (False, 1)


def test_a_known_key_must_have_signed_and_an_unknown_one_proves_nothing() -> None:
    with pytest.raises(KasError):
        read_token(srt(body()), NOW, CLIENT.public_key())
    assert not read_token(srt(body()), NOW, None).verified


def test_two_requests_have_two_digests() -> None:
    assert asked().digest == asked().digest != asked(jti="2").digest


TWICE = body()["requests"] * 2
BAD_BODIES: dict[str, Any] = {
    "no JSON": "{",
    "no object": "[]",
    "a name twice": '{"clientPublicKey":"a","clientPublicKey":"b"}',
    "no key for the client": body(clientPublicKey=None),
    "no requests": body(requests=[]),
    "a request that is none": body(requests=["x"]),
    "one key twice": body(requests=TWICE),
    "no policy": body(requests=[{**TWICE[0], "policy": None}]),
    "a policy that is no text": body(requests=[{**TWICE[0], "policy": {"id": "p", "body": 1}}]),
    "no keys": body(requests=[{**TWICE[0], "keyAccessObjects": None}]),
    "too many keys": body(requests=[{**TWICE[0], "keyAccessObjects": TWICE[0]["keyAccessObjects"] * 101}]),
    "a key that is none": body(requests=[{**TWICE[0], "keyAccessObjects": [1]}]),
    "a wrapped key that is no base64": body(
        requests=[
            {
                **TWICE[0],
                "keyAccessObjects": [{"keyAccessObjectId": "k", "keyAccessObject": {**ACCESS, "wrappedKey": "!"}}],
            }
        ]
    ),
    "no binding": body(
        requests=[
            {
                **TWICE[0],
                "keyAccessObjects": [{"keyAccessObjectId": "k", "keyAccessObject": {**ACCESS, "policyBinding": None}}],
            }
        ]
    ),
    "a lone surrogate": '{"clientPublicKey":"\\ud800"}',
}


@pytest.mark.parametrize("what", BAD_BODIES)
def test_bodies_that_are_none(what: str) -> None:
    with pytest.raises(KasError) as told:
        asked(BAD_BODIES[what])
    assert told.value.code == "invalid_argument"


@pytest.mark.parametrize(
    "claims", [{"exp": NOW - 121}, {"exp": None}, {"iat": NOW + 121}, {"requestBody": {"a": 1}}, {"requestBody": None}]
)
def test_tokens_out_of_time_or_without_a_body(claims: dict[str, Any]) -> None:
    with pytest.raises(KasError):
        asked(**claims)


def test_an_unsigned_token_is_refused_even_where_no_key_is_known() -> None:
    for alg in ("none", "HS256"):
        with pytest.raises(KasError):
            read_token(srt(body(), alg=alg), NOW, None)


def test_long_lived_tokens_of_other_clients_are_taken() -> None:
    assert asked(exp=NOW + 7200).keys


def test_a_request_is_remembered_for_as_long_as_it_would_be_taken() -> None:
    request = asked(exp=NOW + 7200)
    text = srt(body(), exp=NOW + 7200)
    assert read_token(text, request.until - 1, SIGNING.public_key()).until == request.until
    with pytest.raises(KasError, match="expired"):
        read_token(text, request.until, SIGNING.public_key())
    with pytest.raises(KasError, match="more than a day"):
        asked(exp=NOW + 86_401)


# --- bodies ---


def test_the_token_in_both_codecs() -> None:
    message = proto.field(1, "a.b.c")
    assert read_rewrap(message, PROTO) == "a.b.c"
    assert read_rewrap(proto.field(9, "new") + b"\x08\x01" + message, "Application/Proto; x=y") == "a.b.c"
    for text in ('{"signedRequestToken":"a.b.c"}', '{"signed_request_token":"a.b.c","new":1}'):
        assert read_rewrap(text.encode(), "application/json; charset=utf-8") == "a.b.c"
    assert read_public_key(b"", JSON) == read_public_key(b"", PROTO) == ""
    assert read_public_key(proto.field(1, "rsa:2048") + proto.field(3, "2"), PROTO) == "rsa:2048"
    assert (codec_of("application/proto"), codec_of("application/json"), codec_of("")) == (PROTO, JSON, JSON)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"{", JSON),
        (b"[]", JSON),
        (b'{"signedRequestToken":1}', JSON),
        (b"{}", "text/plain"),
        (b"\x0a\xff", PROTO),
        (b"\x0b", PROTO),
        (b"\xff" * 11, PROTO),
        (b"\x0a\x01\xff", PROTO),
        (b"\x00\x00", PROTO),
        (b"\x08\x01" * 10_001, PROTO),
    ],
)
def test_bodies_that_cannot_be_read(data: bytes, kind: str) -> None:
    with pytest.raises(KasError):
        read_rewrap(data, kind)


def test_packed_bodies() -> None:
    assert unpacked(gzip.compress(b"body"), "gzip") == b"body"
    assert unpacked(b"body", "") == unpacked(b"body", "identity") == b"body"


@pytest.mark.parametrize(
    ("data", "encoding", "code"),
    [
        (gzip.compress(bytes(50_000_000)), "gzip", "resource_exhausted"),
        (bytes(1001), "", "resource_exhausted"),
        (gzip.compress(b"body")[:-1], "gzip", "invalid_argument"),
        (gzip.compress(b"body") + b"x", "gzip", "invalid_argument"),
        (b"body", "gzip", "invalid_argument"),
        (b"", "gzip", "invalid_argument"),
        (b"body", "br", "unimplemented"),
        (b"body", "gzip, gzip", "unimplemented"),
    ],
    ids=["bomb", "long", "cut off", "something behind", "no gzip", "nothing", "another", "twice"],
)
def test_bombs_and_other_encodings(data: bytes, encoding: str, code: str) -> None:
    with pytest.raises(KasError) as told:
        unpacked(data, encoding, limit=1000)
    assert told.value.code == code


# --- answers ---


def test_a_key_for_an_rsa_client() -> None:
    session = Session(CLIENT_PEM)
    assert session.public_key == ""
    assert CLIENT.decrypt(session.wrap(KEY), OAEP) == KEY


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_keys_for_a_client_on_a_curve(curve: ec.EllipticCurve) -> None:
    client = ec.generate_private_key(curve)
    session = Session(pem(client.public_key()))
    ours = load_pem_public_key(session.public_key.encode())
    assert isinstance(ours, ec.EllipticCurvePublicKey)
    key = HKDF(hashes.SHA256(), 32, SALT, b"").derive(client.exchange(ec.ECDH(), ours))
    first, second = session.wrap(KEY), session.wrap(KEY)
    assert first[:12] != second[:12]
    for wrapped in (first, second):
        assert AESGCM(key).decrypt(wrapped[:12], wrapped[12:], None) == KEY
    assert Session(pem(client.public_key())).public_key != session.public_key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "é",
        pem(rsa.generate_private_key(65537, 1024).public_key()),
        pem(ec.generate_private_key(ec.SECP256K1()).public_key()),
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ],
)
def test_clients_keys_that_are_not_taken(text: str) -> None:
    with pytest.raises(KasError):
        Session(text)


def results() -> list[KeyResult]:
    [key] = asked().keys
    return [
        KeyResult(key, b"wrapped", metadata={"X-Required-Obligations": ["https://x/obl/a/value/b"]}),
        KeyResult(key, code="permission_denied"),
    ]


def test_the_answer_in_json() -> None:
    answer = json.loads(write_rewrap(results(), "PEM", JSON))
    [response] = answer["responses"]
    good, bad = response["results"]
    assert (answer["sessionPublicKey"], response["policyId"]) == ("PEM", "policy")
    assert good == {
        "metadata": {"X-Required-Obligations": ["https://x/obl/a/value/b"]},
        "keyAccessObjectId": "kao-0",
        "status": "permit",
        "kasWrappedKey": base64.b64encode(b"wrapped").decode(),
    }
    assert (bad["status"], "kasWrappedKey" in bad, "forbidden" in bad["error"]) == ("fail", False, True)


# Written by the code that protoc generates for the protocol
ANSWER = (
    "1a0350454d2a9f010a06706f6c69637912510a370a16582d52657175697265642d4f626c69676174696f6e73121d321b0a191a17"
    "68747470733a2f2f782f6f626c2f612f76616c75652f6212056b616f2d301a067065726d6974220777726170706564124212056b"
    "616f2d301a046661696c2a33727063206572726f723a20636f6465203d205065726d697373696f6e44656e696564206465736320"
    "3d20666f7262696464656e"
)
STRUCT = "0a2f0a2d0a0161122832260a0220010a0208000a0911000000000000f83f0a031a01780a0c2a0a0a080a016212031a0163"


def test_the_answer_in_protobuf_is_that_of_generated_code() -> None:
    assert write_rewrap(results(), "PEM", PROTO).hex() == ANSWER
    assert write_configuration({"a": [True, None, 1.5, "x", {"b": "c"}]}, PROTO).hex() == STRUCT


def test_an_older_body_in_a_newer_call_is_answered_in_both_ways() -> None:
    first = results()[:1]
    assert (
        json.loads(write_rewrap(first, "", JSON, legacy=True))["entityWrappedKey"]
        == base64.b64encode(b"wrapped").decode()
    )
    assert proto.read_message(write_rewrap(first, "", PROTO, legacy=True))[2] == b"wrapped"


def test_the_other_answers() -> None:
    assert json.loads(write_legacy_rewrap(b"k")) == {"entityWrappedKey": "aw==", "metadata": {}}
    assert json.loads(write_public_key("PEM", "r1", JSON)) == {"publicKey": "PEM", "kid": "r1"}
    assert proto.read_message(write_public_key("PEM", "r1", PROTO)) == {1: b"PEM", 2: b"r1"}
    assert json.loads(write_legacy_public_key("PEM", "r1", "2")) == {"publicKey": "PEM", "kid": "r1"}
    assert json.loads(write_legacy_public_key("PEM", "r1", "")) == "PEM"
    assert json.loads(write_key_servers(["https://k/kas"], JSON)) == {
        "keyAccessServers": [{"id": "0", "uri": "https://k/kas"}]
    }
    assert proto.read_message(proto.read_message(write_key_servers(["https://k/kas"], PROTO))[1])[2] == b"https://k/kas"


def test_the_documents_that_clients_look_for() -> None:
    issuer = Issuer("https://portal", "https://portal/token", "https://portal/jwks", "https://portal/device")
    configuration = opentdf_configuration(issuer, BaseKey("https://k/kas", "rsa:2048", "r1", "PEM"))
    document = opentdf_document(configuration)
    assert (
        document["idp"]["token_endpoint"]
        == document["configuration"]["idp"]["token_endpoint"]
        == "https://portal/token"
    )
    assert document["base_key"]["public_key"] == {"algorithm": "rsa:2048", "kid": "r1", "pem": "PEM"}
    assert json.loads(write_configuration(configuration, JSON)) == {"configuration": configuration}
    assert b"https://portal/token" in write_configuration({**configuration, "none": None, "one": 1}, PROTO)
    assert [is_offered(name) for name in ("", "rsa:2048", "rsa:4096", "RS256", "ec:secp256r1", "hpqt:x")] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]


def test_refusals_have_two_words_whatever_the_reason() -> None:
    told = {
        http_error(KasError("permission_denied", reason), "see https://portal")
        for reason in ("expired", "revoked", "not a reader")
    }
    assert told == {(403, b'{"code": "permission_denied", "message": "forbidden: see https://portal"}')}
    assert http_error(KasError("invalid_argument", "a tag")) == (
        400,
        b'{"code": "invalid_argument", "message": "bad request"}',
    )
    assert http_error(KasError("odd", "x"))[0] == 500
    assert result_error("invalid_argument") == "rpc error: code = InvalidArgument desc = bad request"
    assert result_error("expired") == "rpc error: code = PermissionDenied desc = forbidden"


# --- whatever comes ---

ANY = st.binary(max_size=200) | st.text(st.sampled_from('{}[]":,abc\\u01'), max_size=60).map(str.encode)


@given(ANY, st.sampled_from([JSON, PROTO]), st.sampled_from(["", "gzip"]))
def test_any_body_gives_a_text_or_a_declared_error(data: bytes, kind: str, encoding: str) -> None:
    with suppress(KasError):
        assert isinstance(read_rewrap(unpacked(data, encoding), kind), str)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "clientPublicKey",
                        "requests",
                        "policy",
                        "keyAccess",
                        "body",
                        "id",
                        "keyAccessObjects",
                        "keyAccessObject",
                        "keyAccessObjectId",
                        "wrappedKey",
                        "policyBinding",
                        "type",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=20,
    )
)
def test_any_request_gives_a_result_or_a_declared_error(value: Any) -> None:
    with suppress(KasError):
        assert read_token(srt(json.dumps(value)), NOW, None).keys
