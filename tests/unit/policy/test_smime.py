"""Whose signature it is, and what it is worth."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mta.model.opened import OpenedMessage
from mta.model.smime import SignatureStatus, SignedOutcome, SignerOutcome
from mta.model.smime_verdict import SmimeVerdict
from mta.model.tls import PathFault, PathVerdict
from mta.policy.smime import judge_message, to_judge
from mta.rfc.mime.from_ import parse_from
from mta.rfc.mime.header import scan_header
from mta.rfc.smime.message import open_message
from mta.rfc.smime.profile import PROFILES
from tests.support.smime import Person, issue, person
from tests.support.smime_mail import HEADER, MESSAGE, anna, berta, encrypt, mallory, sign, sign_and_encrypt

TRUSTED = PathVerdict()
UNTRUSTED = PathVerdict(PathFault.EXPIRED, "it expired")


def judged(message: bytes, path: PathVerdict = TRUSTED, opened: OpenedMessage | None = None) -> SmimeVerdict:
    block = scan_header(message, len(message))
    found = opened or open_message(message, [berta().decryption_key], block)
    return judge_message(found, parse_from(block, 1000), {der: path for der, _ in to_judge(found)})


def verdict(message: bytes, path: PathVerdict = TRUSTED) -> str:
    return judged(message, path).result.value


@pytest.mark.parametrize("detached", [True, False])
def test_the_authors_good_signature_is_good(detached: bool) -> None:
    found = judged(sign(MESSAGE, anna(), detached=detached))
    assert (found.result.value, found.reason, found.good) == ("good", "", True)
    (signer,) = found.signers
    assert signer.addresses == ("anna@contoso.example",)
    assert signer.scheme == "ecdsa-sha256"
    assert len(signer.fingerprint) == 64


def test_the_words() -> None:
    signed = sign(MESSAGE, anna())
    assert verdict(MESSAGE) == "unsigned"
    assert verdict(encrypt(MESSAGE, berta())) == "unsigned"
    assert verdict(encrypt(MESSAGE, anna())) == "encrypted"
    assert verdict(signed, UNTRUSTED) == "untrusted"
    assert verdict(signed, PathVerdict(PathFault.UNREACHABLE, "no answer")) == "unknown"
    assert verdict(signed.replace(b"figures", b"numbers")) == "bad"
    assert verdict(signed[: signed.rindex(b"\r\n--")]) == "malformed"
    assert verdict(sign(MESSAGE, mallory())) == "not-the-author"
    assert verdict(sign_and_encrypt(MESSAGE, anna(), berta())) == "good"


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (SignatureStatus.REFUSED, "weak"),
        (SignatureStatus.UNSUPPORTED, "unsupported"),
        (SignatureStatus.MALFORMED, "malformed"),
        (SignatureStatus.BAD, "bad"),
    ],
)
def test_the_worst_signature_decides(status: SignatureStatus, word: str) -> None:
    opened = open_message(sign(MESSAGE, anna()))
    layer = opened.layers[0]
    assert layer.signed is not None
    both = SignedOutcome((*layer.signed.signers, SignerOutcome(status, "why")))
    found = judged(MESSAGE, opened=replace(opened, layers=(replace(layer, signed=both),)))
    assert (found.result.value, found.reason) == (word, "why")


def test_a_second_signer_beside_the_author_does_no_harm() -> None:
    one, other = (open_message(sign(MESSAGE, who)) for who in (anna(), mallory()))
    signers = (*one.signatures[0].signers, *other.signatures[0].signers)
    opened = replace(one, layers=(replace(one.layers[0], signed=SignedOutcome(signers)),))
    assert judged(MESSAGE, opened=opened).good


def test_signed_data_without_a_signer_is_unsigned() -> None:
    opened = open_message(sign(MESSAGE, anna()))
    empty = replace(opened, layers=(replace(opened.layers[0], signed=SignedOutcome(reason="nobody signed it")),))
    found = judged(MESSAGE, opened=empty)
    assert (found.result.value, found.reason) == ("unsigned", "nobody signed it")


# --- Johnny: the From -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        b"From: Anna <anna@contoso.example>, Berta <berta@contoso.example>\r\n",
        b"From: Anna <anna@contoso.example>\r\nFrom: Berta <berta@contoso.example>\r\n",
        b'From: "anna@contoso.example" <mallory@evil.example>\r\n',
        b"From: anna@contoso.example <mallory@evil.example>\r\n",
        b"From: <anna@contoso.example> <mallory@evil.example>\r\n",
        b"From: mallory@evil.example\r\nSender: anna@contoso.example\r\n",
        b"From: =?utf-8?q?anna=40contoso.example?= <mallory@evil.example>\r\n",
        b"From: anna@contoso.example.evil.example\r\n",
        b"Sender: anna@contoso.example\r\n",
        b"From: \r\n",
        b"From: anna@contoso.example\x00@evil.example\r\n",
    ],
)
def test_nobody_signs_for_another(header: bytes) -> None:
    message = sign(MESSAGE, anna())
    assert verdict(message.replace(b"From: Anna <anna@contoso.example>\r\n", header)) == "not-the-author"


def test_case_and_quotes_make_no_difference() -> None:
    for spelled in (b"ANNA@Contoso.Example", b'"anna"@contoso.example', b"(x) Anna <anna@contoso.example>"):
        assert verdict(sign(MESSAGE.replace(b"Anna <anna@contoso.example>", spelled), anna())) == "good"


def test_a_protected_from_that_differs_is_not_the_author() -> None:
    """Some readers show the one inside (RFC 9788 §4.4), and it is signed by whoever wrote the one outside."""
    inner = sign(MESSAGE, mallory(), headers="signed")
    changed = inner.replace(b"From: Anna <anna@", b"From: Mallory <mallory@", 1)
    found = judged(changed)
    assert (found.result.value, found.changed) == ("not-the-author", ("from",))
    assert "protected From" in found.reason


def test_the_innermost_signature_must_be_the_authors_and_the_outer_ones_right() -> None:
    inner = sign(MESSAGE, anna())
    assert verdict(sign(encrypt(inner, berta()), mallory())) == "good"
    assert verdict(sign(encrypt(sign(MESSAGE, mallory()), berta()), anna())) == "not-the-author"
    outer = sign(encrypt(inner, berta()), mallory())
    broken = outer.replace(b"Content-Description: S/MIME Encrypted Message", b"Content-Description: x")
    assert verdict(broken) == "bad"


@pytest.mark.parametrize("detached", [True, False])
@pytest.mark.parametrize("profile", ["default", "authenticated"])
@pytest.mark.parametrize(("to", "word"), [("berta", "unsigned"), ("anna", "encrypted")])
def test_who_signs_a_strangers_ciphertext_is_not_its_author(detached: bool, profile: str, to: str, word: str) -> None:
    """Anybody can put a signature around it; who did the encryption, and what was inside, nobody has signed."""
    closed = encrypt(MESSAGE, person("p256", to), profile=profile)
    found = judged(sign(closed, anna(), detached=detached))
    assert (found.result.value, found.good) == (word, False)
    assert "ciphertext alone" in found.reason
    assert [signer.is_author for signer in found.signers] == [False]
    assert found.authenticated is (PROFILES[profile].authenticated and to == "berta")


def entity(message: bytes) -> bytes:
    """A message without its own header."""
    block = scan_header(message, len(message))
    fields = [message[field.start : field.end] for field in block.fields if field.name.startswith(b"content-")]
    return b"".join((*fields, b"\r\n", message[block.body_start :]))


def multipart(kind: bytes, *parts: bytes) -> bytes:
    inside = b"".join(b"--q-q\r\n" + part + b"\r\n" for part in parts)
    return b'Content-Type: multipart/%s; boundary="q-q"\r\n\r\n%s--q-q--\r\n' % (kind, inside)


TEXT, BLANK = b"Content-Type: text/plain\r\n\r\nhello", b"Content-Type: text/plain\r\n\r\n \r\n"
HTML = b"Content-Type: text/html\r\n\r\n<html><body><div style='x'>&nbsp;</div></body></html>"
ATTACHED = b"Content-Type: message/rfc822\r\n\r\n"
PGP = (
    b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=p\r\n\r\n'
    b"--p\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
    b"--p\r\nContent-Type: application/octet-stream\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n--p--\r\n"
)


@pytest.mark.parametrize("detached", [True, False])
@pytest.mark.parametrize(
    ("nest", "word"),
    [
        (lambda closed: multipart(b"mixed", entity(closed)), "unsigned"),
        (lambda closed: multipart(b"mixed", BLANK, entity(closed), HTML), "unsigned"),
        (lambda closed: ATTACHED + closed, "unsigned"),
        (lambda closed: multipart(b"digest", b"\r\n" + closed), "unsigned"),
        (lambda closed: multipart(b"mixed", entity(sign(closed, anna()))), "unsigned"),
        (lambda closed: multipart(b"mixed", entity(sign(closed, anna(), detached=False))), "unsigned"),
        (lambda closed: multipart(b"alternative", TEXT, entity(closed)), "unsigned"),
        (lambda closed: PGP, "unsigned"),
        (lambda closed: b"Content-Type: text/plain\r\n\r\n-----BEGIN PGP MESSAGE-----\r\nx\r\n", "unsigned"),
        (lambda closed: multipart(b"mixed", TEXT, ATTACHED + closed), "good"),  # forwarded, with a word of the signer's
        (lambda closed: multipart(b"mixed", entity(sign(MESSAGE, anna(), detached=False))), "good"),
        (lambda closed: multipart(b"mixed", BLANK), "good"),
    ],
)
def test_nor_is_who_wraps_it_first(nest, word: str, detached: bool) -> None:  # type: ignore[no-untyped-def]
    """Readers that decrypt a part show what is inside under the signature around it."""
    found = judged(sign(HEADER + nest(encrypt(MESSAGE, berta())), anna(), detached=detached))
    assert (found.result.value, found.good) == (word, word == "good")
    assert [signer.is_author for signer in found.signers] == [found.good]


@pytest.mark.parametrize(("who", "locked"), [("anna", "encrypted"), ("mallory", "not-the-author")])
def test_thrice_wrapped_the_signature_inside_counts(who: str, locked: str) -> None:
    inner = sign(MESSAGE, anna())
    found = judged(sign(encrypt(inner, berta()), person("p256", who)))
    assert (found.result.value, found.authenticated) == ("good", True)
    assert [signer.is_author for signer in found.signers] == [False, True]
    assert verdict(sign(encrypt(inner, anna()), person("p256", who))) == locked


def certificate(*, san: list[x509.GeneralName] | None, subject: str = "") -> Person:
    key = person("p256", "anna").key
    base = issue(key, "x@y.example").certificate
    attributes = [x509.NameAttribute(NameOID.EMAIL_ADDRESS, subject)] if subject else []
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Anna"), *attributes]))
        .issuer_name(base.issuer)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(base.not_valid_before_utc)
        .not_valid_after(base.not_valid_after_utc)
    )
    if san is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(san), critical=False)
    return Person(builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()), key)


def utf8_mailbox(address: str) -> x509.OtherName:
    text = address.encode()
    return x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), bytes([12, len(text)]) + text)


@pytest.mark.parametrize(
    ("from_", "who", "word"),
    [
        ("jürgen@contoso.example", lambda: certificate(san=[utf8_mailbox("jürgen@contoso.example")]), "good"),
        ("anna@xn--bcher-kva.example", lambda: certificate(san=[utf8_mailbox("anna@bücher.example")]), "good"),
        ("anna@contoso.example", lambda: certificate(san=None, subject="anna@contoso.example"), "good"),
        ("anna@contoso.example", lambda: certificate(san=[x509.DNSName("contoso.example")]), "not-the-author"),
        (
            "anna@contoso.example",
            lambda: certificate(san=[x509.RFC822Name("other@contoso.example")], subject="anna@contoso.example"),
            "not-the-author",
        ),
    ],
)
def test_addresses_of_a_certificate(from_: str, who, word: str) -> None:  # type: ignore[no-untyped-def]
    message = MESSAGE.replace(b"Anna <anna@contoso.example>", from_.encode())
    assert verdict(sign(message, who())) == word


# --- what an attacker on the way could have done ----------------------------------------------------------------------


def test_cbc_without_a_signature_inside_is_not_authenticated() -> None:
    for message, expected in (
        (encrypt(MESSAGE, berta()), False),
        (encrypt(MESSAGE, berta(), profile="authenticated"), True),
        (sign_and_encrypt(MESSAGE, anna(), berta()), True),
        (sign_and_encrypt(MESSAGE, mallory(), berta()), True),
    ):
        found = judged(message)
        assert (found.encrypted, found.authenticated) == (True, expected)
    assert not judged(sign_and_encrypt(MESSAGE, anna(), berta()), UNTRUSTED).authenticated


def test_bad_signatures_ask_for_no_path() -> None:
    good = sign(MESSAGE, anna())
    assert [der for der, _ in to_judge(open_message(good))] == [anna().der]
    assert to_judge(open_message(good.replace(b"figures", b"numbers"))) == ()
    assert to_judge(open_message(HEADER)) == ()
