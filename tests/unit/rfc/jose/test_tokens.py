"""Tokens, keys and proofs: the standards' examples, and the attacks that such libraries have known."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from mta.errors import JoseError
from mta.rfc.jose.algorithms import ALGORITHMS, signer
from mta.rfc.jose.base64url import decode, decode_padded, encode
from mta.rfc.jose.dpop import Request, check_bound, verify_proof
from mta.rfc.jose.jwk import Jwk, read_jwk, read_jwks, thumbprint, write_jwk
from mta.rfc.jose.jws import ASYMMETRIC, read_jws, sign_hs256, sign_jws, verify_hs256, verify_jws
from mta.rfc.jose.jwt import Expected, make_token, verify_token

NOW = 1_800_000_000.0
RSA = rsa.generate_private_key(65537, 2048)
KEYS = {
    "secp256r1": ec.generate_private_key(ec.SECP256R1()),
    "secp384r1": ec.generate_private_key(ec.SECP384R1()),
    "secp521r1": ec.generate_private_key(ec.SECP521R1()),
}


def key_for(name: str) -> Any:
    return KEYS[ALGORITHMS[name].curve] if ALGORITHMS[name].curve else RSA


def token(claims: dict[str, Any], name: str = "ES256", **header: Any) -> str:
    return make_token(claims, {"alg": name, "typ": "at+jwt", **header}, signer(ALGORITHMS[name], key_for(name)))


GOOD = {"iss": "https://portal", "aud": "kas", "sub": "bob", "iat": NOW, "exp": NOW + 300}
EXPECTED = Expected("https://portal", "kas", NOW)
BOTH = (Jwk(KEYS["secp256r1"].public_key(), "e1"), Jwk(RSA.public_key(), "r1", "RS256"))


# --- signatures ---


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_round_trip(name: str) -> None:
    jws = read_jws(token({"a": 1}, name))
    verify_jws(jws, key_for(name).public_key(), ASYMMETRIC)
    assert jws.claims() == {"a": 1}
    for others in ({*ASYMMETRIC} - {name}, ()):
        with pytest.raises(JoseError, match="not allowed"):
            verify_jws(jws, key_for(name).public_key(), others)


def test_rfc_7515_appendix_a3() -> None:
    """The standard's own ES256 token and key."""
    text = (
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    )
    key = {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }
    verify_jws(read_jws(text), read_jwk(key), ["ES256"])


def test_rfc_7515_appendix_a1() -> None:
    """The standard's own HS256 token and secret."""
    text = (
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    )
    secret = decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
    assert verify_hs256(read_jws(text), secret)
    assert not verify_hs256(read_jws(text), secret[:31])


def test_rfc_7638_thumbprint() -> None:
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
        "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n"
        "91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    assert (
        thumbprint(read_jwk({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}))
        == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    )


def test_a_public_key_is_no_shared_secret() -> None:
    """The confusion of algorithms: a token under HMAC with the public key's text."""
    public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forged = sign_hs256({"typ": "at+jwt"}, json.dumps(GOOD).encode(), public)
    with pytest.raises(JoseError):
        verify_token(forged, BOTH, EXPECTED)


@pytest.mark.parametrize("alg", ["none", "None", "HS256", "", "RS1", "ES256K", "EdDSA"])
def test_other_algorithms_are_refused(alg: str) -> None:
    forged = sign_jws({"alg": alg, "typ": "at+jwt"}, json.dumps(GOOD).encode(), lambda _: b"")
    with pytest.raises(JoseError):
        verify_token(forged, BOTH, EXPECTED)


def test_an_algorithm_needs_its_own_kind_of_key() -> None:
    with pytest.raises(JoseError):
        verify_jws(read_jws(token({}, "ES256")), RSA.public_key(), ASYMMETRIC)
    with pytest.raises(JoseError):
        verify_jws(read_jws(token({}, "ES384")), KEYS["secp256r1"].public_key(), ASYMMETRIC)
    with pytest.raises(ValueError, match="cannot sign"):
        signer(ALGORITHMS["ES256"], RSA)
    weak = rsa.generate_private_key(65537, 1024)
    with pytest.raises(ValueError, match="cannot sign"):
        signer(ALGORITHMS["RS256"], weak)


def test_good_signatures_by_the_wrong_kind_of_key() -> None:
    """They hold mathematically; the algorithm takes no such key."""
    weak = rsa.generate_private_key(65537, 1024)
    text = sign_jws({"alg": "RS256"}, b"{}", lambda data: weak.sign(data, padding.PKCS1v15(), hashes.SHA256()))
    with pytest.raises(JoseError):
        verify_jws(read_jws(text), weak.public_key(), ASYMMETRIC)

    def wide(data: bytes) -> bytes:
        halves = decode_dss_signature(KEYS["secp256r1"].sign(data, ec.ECDSA(hashes.SHA384())))
        return b"".join(half.to_bytes(48, "big") for half in halves)

    with pytest.raises(JoseError):
        verify_jws(read_jws(sign_jws({"alg": "ES384"}, b"{}", wide)), KEYS["secp256r1"].public_key(), ASYMMETRIC)


def test_zeros_are_no_ecdsa_signature() -> None:
    """CVE-2022-21449, and signatures in the wrong encoding."""
    head = token(GOOD).rpartition(".")[0]
    for signature in (bytes(64), bytes(63), b"", b"\xff" * 64):
        with pytest.raises(JoseError):
            verify_token(f"{head}.{encode(signature)}", BOTH, EXPECTED)


@pytest.mark.parametrize("header", [{"crit": ["exp"], "exp": 1}, {"b64": False}, {"zip": "DEF"}])
def test_extensions_are_refused(header: dict[str, Any]) -> None:
    with pytest.raises(JoseError, match="extension"):
        read_jws(token(GOOD, **header))


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        "e30.e30.e30",
        "e30=.e30.",
        "W10.e30.",
        "eyJhbGciOjF9.e30.",
        "eyJhbGciOiJhIiwiYWxnIjoiYiJ9.e30.",
        "é.e30.",
        "x" * 70000,
    ],
)
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(JoseError):
        read_jws(text)


# --- claims ---


def test_a_good_token() -> None:
    assert verify_token(token(GOOD), BOTH, EXPECTED)["sub"] == "bob"
    assert verify_token(token(GOOD, "RS256", kid="r1"), BOTH, EXPECTED)["sub"] == "bob"
    assert verify_token(token({**GOOD, "aud": ["x", "kas"]}), BOTH, EXPECTED)["aud"] == ["x", "kas"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"iss": "https://portal/"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"aud": "other"}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": ["other"]}, "audience"),
        ({"aud": {"kas": 1}}, "audience"),
        ({"exp": NOW - 121}, "expired"),
        ({"exp": None}, "no time"),
        ({"exp": "never"}, "no time"),
        ({"exp": True}, "no time"),
        ({"iat": NOW + 121}, "yet"),
        ({"nbf": NOW + 121}, "yet"),
    ],
)
def test_claims_that_are_not_ours(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(JoseError, match=why):
        verify_token(token({**GOOD, **changes}), BOTH, EXPECTED)


def test_clocks_may_differ_a_little() -> None:
    verify_token(token({**GOOD, "exp": NOW - 119, "iat": NOW + 119, "nbf": NOW + 119}), BOTH, EXPECTED)


def test_a_token_of_another_type_or_key() -> None:
    for typ in ("AT+JWT", "application/at+jwt", "jwt"):
        verify_token(token(GOOD, typ=typ), BOTH, EXPECTED)
    for header in ({"typ": "dpop+jwt"}, {"typ": 1}, {"kid": "e2"}, {"kid": "r1"}):
        with pytest.raises(JoseError):
            verify_token(token(GOOD, **header), BOTH, EXPECTED)
    with pytest.raises(JoseError, match="among"):
        verify_token(token(GOOD), (), EXPECTED)


# --- keys ---


@pytest.mark.parametrize("key", [RSA, *KEYS.values()], ids=["RSA", *KEYS])
def test_keys_round_trip(key: Any) -> None:
    assert read_jwk(write_jwk(key.public_key())) == key.public_key()


EC = write_jwk(KEYS["secp256r1"].public_key())


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"kty": "oct", "k": "AA"},
        {**EC, "d": "AA"},
        {**EC, "crv": "P-999"},
        {**EC, "x": EC["y"]},
        {**EC, "x": 1},
        {"kty": "EC"},
        {"kty": "RSA", "n": encode(b"\xff" * 128), "e": "AQAB"},
        {"kty": "RSA", "n": encode(b"\xff" * 256), "e": "AQ"},
        {"kty": "RSA", "n": "!", "e": "AQAB"},
        {"kty": "OKP"},
    ],
)
def test_what_is_no_public_key(value: Any) -> None:
    with pytest.raises(JoseError):
        read_jwk(value)


def test_a_set_of_keys_passes_over_what_it_does_not_know() -> None:
    data = json.dumps(
        {"keys": [{**EC, "kid": "a", "alg": "ES256"}, {"kty": "OKP"}, {**EC, "use": "enc"}, "x", {**EC, "kid": 1}]}
    ).encode()
    assert [(key.kid, key.algorithm) for key in read_jwks(data)] == [("a", "ES256"), ("", "")]
    for bad in (b"", b"[]", b'{"keys": {}}', json.dumps({"keys": [EC] * 101}).encode(), bytes(300_000)):
        with pytest.raises(JoseError):
            read_jwks(bad)


# --- DPoP ---

URL = "https://keys.contoso.example/kas.AccessService/Rewrap"
ASKED = Request("POST", URL, NOW, "the token")


def proof(header: dict[str, Any] | None = None, **changes: Any) -> str:
    claims = {"htm": "POST", "htu": URL, "iat": NOW, "jti": "1", **changes}
    head = {"alg": "ES256", "typ": "dpop+jwt", "jwk": EC, **(header or {})}
    return make_token(
        {name: value for name, value in claims.items() if value is not None},
        head,
        signer(ALGORITHMS["ES256"], KEYS["secp256r1"]),
    )


class Seen:
    """Which proofs were used: what the key server keeps."""

    def __init__(self) -> None:
        self.ids: dict[str, float] = {}

    def __call__(self, id_: str, until: float) -> bool:
        return self.ids.setdefault(id_, until) is until


def test_a_proof_holds_once() -> None:
    seen = Seen()
    found = verify_proof(proof(), ASKED, seen)
    assert (found.thumbprint, found.jti, found.key) == (
        thumbprint(KEYS["secp256r1"].public_key()),
        "1",
        KEYS["secp256r1"].public_key(),
    )
    assert min(seen.ids.values()) >= NOW + 120
    with pytest.raises(JoseError, match="before"):
        verify_proof(proof(), ASKED, lambda id_, _: id_ not in seen.ids)


@pytest.mark.parametrize(
    "htu", [URL, URL + "?a=b#c", URL.replace("https://keys", "HTTPS://KEYS"), URL.replace(".example/", ".example:443/")]
)
def test_one_url_in_several_spellings(htu: str) -> None:
    verify_proof(proof(htu=htu), ASKED, Seen())


def test_the_hash_of_the_token_is_checked_where_it_is_there() -> None:
    import hashlib

    verify_proof(proof(ath=encode(hashlib.sha256(b"the token").digest())), ASKED, Seen())
    with pytest.raises(JoseError, match="another token"):
        verify_proof(proof(ath=encode(hashlib.sha256(b"another").digest())), ASKED, Seen())


@pytest.mark.parametrize(
    ("header", "changes"),
    [
        ({"typ": "JWT"}, {}),
        ({"jwk": None}, {}),
        ({"jwk": write_jwk(RSA.public_key())}, {}),
        ({"jwk": {**EC, "d": "AA"}}, {}),
        ({}, {"htm": "GET"}),
        ({}, {"htu": URL + "x"}),
        ({}, {"htu": URL.replace("https", "http")}),
        ({}, {"htu": None}),
        ({}, {"htu": "https://[x"}),
        ({}, {"iat": NOW - 121}),
        ({}, {"iat": NOW + 121}),
        ({}, {"iat": None}),
        ({}, {"jti": None}),
        ({}, {"jti": ""}),
        ({}, {"jti": "x" * 257}),
        ({}, {"ath": 1}),
    ],
)
def test_proofs_that_do_not_hold_fill_nobodys_memory(header: dict[str, Any], changes: dict[str, Any]) -> None:
    seen = Seen()
    with pytest.raises(JoseError):
        verify_proof(proof(header, **changes), ASKED, seen)
    assert not seen.ids


def test_our_nonce_is_demanded() -> None:
    asked = Request("POST", URL, NOW, nonce="n")
    verify_proof(proof(nonce="n"), asked, Seen())
    with pytest.raises(JoseError, match="nonce"):
        verify_proof(proof(), asked, Seen())


def test_a_bound_token_needs_the_proof_of_its_key() -> None:
    shown = verify_proof(proof(), ASKED, Seen())
    bound = {**GOOD, "cnf": {"jkt": shown.thumbprint}}
    check_bound(GOOD, None)
    check_bound(GOOD, shown)
    check_bound(bound, shown)
    others: list[Any] = [{"jkt": "another"}, {"x5t#S256": "a"}, {}, "jkt"]
    for claims in (bound, *({**GOOD, "cnf": other} for other in others)):
        with pytest.raises(JoseError, match="bound"):
            check_bound(claims, None)
    for other in others:
        with pytest.raises(JoseError, match="bound"):
            check_bound({**GOOD, "cnf": other}, shown)


# --- texts ---


@given(st.binary(max_size=80))
def test_base64_has_one_text_for_one_value(data: bytes) -> None:
    import base64

    assert decode(encode(data)) == data
    assert decode_padded(base64.b64encode(data).decode()) == data


@pytest.mark.parametrize("text", ["A", "AB", "AA==", "A A", "AA\n", "-_==", "é"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        decode(text)


@pytest.mark.parametrize("text", ["A", "AA", "AB==", "AA==\n", "AA=", "-_==", "é", "AA==AA=="])
def test_other_padded_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        decode_padded(text)


def test_hmac_under_a_content_key() -> None:
    secret = bytes(32)
    jws = read_jws(sign_hs256({}, b"{}", secret))
    assert verify_hs256(jws, secret)
    assert jws.signature == hmac.digest(secret, jws.signed, "sha256")
    assert not verify_hs256(jws, b"\1" * 32)
    assert not verify_hs256(read_jws(token({})), secret)


@given(st.text(max_size=60) | st.text(st.sampled_from("eyJhbGciOiJ9.-_"), max_size=90))
def test_any_text_gives_a_declared_error(text: str) -> None:
    with pytest.raises(JoseError):
        verify_token(text, BOTH, EXPECTED)
    with pytest.raises(JoseError):
        verify_proof(text, ASKED, Seen())
