"""`mta smime` on messages, with the people of RFC 9216."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner, Result

from mta.cli.main import app
from mta.errors import UsageError
from mta.rfc.smime.inspect import cms_in
from tests.support.corpora import corpus, files
from tests.support.smime import person, root
from tests.support.smime_mail import MESSAGE as SIGNED_BY_ANNA
from tests.support.smime_mail import sign

MESSAGE = (
    "From: Alice <alice@smime.example>\nTo: bob@smime.example\nSubject: hello\n"
    "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGrüße, Bob, und guten Tag!\n"
).encode()
NOW = "1795600000"
Smime = Callable[..., Result]


def place(start: str) -> str:
    return next(str(path) for path in files("smime-rfc9216") if path.name.startswith(start))


@pytest.fixture
def smime(tmp_path: Path) -> Smime:
    """Runs the command; words that begin like sections of RFC 9216 are its files."""

    def run(*words: str, message: bytes = MESSAGE) -> Result:
        arguments = [place(word) if word[:1].isdigit() and word[1:2] == "." else word for word in words]
        result = CliRunner().invoke(app, ["smime", *arguments], input=message)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    corpus("smime-rfc9216")
    return run


@pytest.fixture
def passwords(tmp_path: Path) -> Callable[[str], str]:
    def password(word: str) -> str:
        (tmp_path / word).write_text(word + "\n")
        return str(tmp_path / word)

    return password


ALICE = ("--cert", "4.1", "--key", "4.2")
BOB_READS = ("--cert", "5.3", "--key", "5.4")
TRUST = ("--trust", "3.1")


def document(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_signed_message_is_good_for_whom_its_ca_is(smime: Smime) -> None:
    signed = smime("sign", *ALICE, "--now", NOW).stdout_bytes
    result = smime("verify", *TRUST, "--now", NOW, "--json", message=signed)
    assert result.exit_code == 0
    found = document(result)
    assert (found["result"], found["reason"]) == ("good", "")
    (signer,) = found["signers"]
    assert signer["addresses"] == ["alice@smime.example"]
    assert signer["signing_time"] == float(NOW)
    assert smime("verify", *TRUST, "--now", NOW, message=signed).stdout.startswith("good\n")


@pytest.mark.parametrize(
    ("word", "words", "change"),
    [
        ("untrusted", ("--now", NOW), (b"", b"")),
        ("untrusted", ("--trust", "6.1", "--now", NOW), (b"", b"")),
        ("untrusted", (*TRUST, "--now", "4795600000"), (b"", b"")),  # long expired by then
        ("bad", (*TRUST, "--now", NOW), (b"guten Tag", b"gute Nacht")),
        ("not-the-author", (*TRUST, "--now", NOW), (b"From: Alice <alice@", b"From: Alice <bob@")),
        ("malformed", (*TRUST, "--now", NOW), (b"application/pkcs7-signature; name", b"text/plain; name")),
        ("unsigned", (*TRUST, "--now", NOW), (b"multipart/signed", b"multipart/mixed")),
    ],
)
def test_anything_less_than_good_exits_1(
    smime: Smime, word: str, words: tuple[str, ...], change: tuple[bytes, bytes]
) -> None:
    signed = smime("sign", *ALICE, "--now", NOW).stdout_bytes
    result = smime("verify", *words, "--json", message=signed.replace(*change))
    assert (document(result)["result"], result.exit_code) == (word, 1)
    assert document(result)["reason"]


def test_a_file_may_be_as_mail_programs_keep_it(smime: Smime) -> None:
    signed = smime("sign", *ALICE).stdout_bytes
    assert smime("verify", *TRUST, message=signed.replace(b"\r\n", b"\n")).exit_code == 0
    assert smime("verify", *TRUST, message=b"From alice Mon Jan  1 10:00:00 2024\n" + signed).exit_code == 0


def test_encrypted_and_back(smime: Smime) -> None:
    sealed = smime("encrypt", "--recipient", "5.3", *ALICE, "--header-protection", "confidential").stdout_bytes
    assert b"Subject: [...]" in sealed
    assert b"guten" not in sealed
    plain = smime("decrypt", *BOB_READS, *TRUST, message=sealed)
    assert plain.exit_code == 0
    assert b"\r\nSubject: hello\r\n" in plain.stdout_bytes
    assert b"multipart/signed" in plain.stdout_bytes
    assert smime("verify", *TRUST, message=plain.stdout_bytes).exit_code == 0
    assert smime("verify", *TRUST, *BOB_READS, message=sealed).exit_code == 0
    locked = smime("verify", *TRUST, "--json", message=sealed)
    assert (locked.exit_code, document(locked)["result"]) == (1, "encrypted")


def test_what_cannot_be_decrypted_says_why(smime: Smime) -> None:
    sealed = smime("encrypt", "--recipient", "5.3").stdout_bytes
    result = smime("decrypt", "--cert", "4.3", "--key", "4.4", message=sealed)
    assert (result.exit_code, result.stdout_bytes) == (1, b"")
    assert "none of our keys" in result.stderr
    result = smime("decrypt", *BOB_READS, "--json")
    assert (result.exit_code, document(result)["reason"]) == (1, "the message as a whole is not encrypted")


def test_what_nobody_signed_is_said_to_be_not_authenticated(smime: Smime) -> None:
    for profile, told in (("default", True), ("authenticated", False)):
        sealed = smime("encrypt", "--recipient", "5.3", "--profile", profile).stdout_bytes
        result = smime("decrypt", *BOB_READS, message=sealed)
        assert ("not authenticated" in result.stderr) is told
        result = smime("decrypt", *BOB_READS, "--json", message=sealed)
        assert document(result)["authenticated"] is not told
        assert b"Gr=C3=BC" in base64.b64decode(document(result)["message"])


def test_pkcs12_with_a_key_for_each_purpose(smime: Smime, passwords: Callable[[str], str]) -> None:
    carlos = ("--key", "7.5", "--password-file", passwords("carlos"))
    message = MESSAGE.replace(b"alice@", b"carlos@")
    sealed = smime("encrypt", "--recipient", "7.3", *carlos, message=message).stdout_bytes
    result = smime("verify", "--trust", "6.1", *carlos, "--json", message=sealed)
    assert (document(result)["result"], document(result)["encrypted"]) == ("good", True)


@pytest.mark.parametrize("bits", [44, 65, 87])
def test_a_certificate_that_does_not_travel_is_looked_for_among_those_given(smime: Smime, bits: int) -> None:
    folder = corpus("pqc-lamps")
    message = (folder / "cms-ml-dsa" / f"mldsa{bits}-signed-attrs.pem").read_bytes()
    certificate = str(folder / "dilithium-certificates" / f"ML-DSA-{bits}.crt")
    result = smime("verify", "--trust", certificate, "--now", NOW, "--json", message=message)
    assert document(result)["reason"] == "the message has no From"
    assert document(result)["signers"][0]["scheme"] == f"ml-dsa-{bits}"
    assert document(smime("verify", "--now", NOW, "--json", message=message))["result"] == "malformed"


def test_a_revoked_certificate_is_not_believed(smime: Smime, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    revoked = person("p256", "anna").certificate
    for name, certificates in (("none", ()), ("her", (revoked,))):
        (tmp_path / name).write_bytes(revocation_list(*certificates))
    root().write(tmp_path, "root")
    signed = sign(SIGNED_BY_ANNA, person("p256", "anna"))
    trust = ("--trust", str(tmp_path / "root.pem"), "--json")
    for words, result in (
        ((), "good"),
        (("--revocation", "hard"), "untrusted"),
        (("--revocation", "hard", "--crl", str(tmp_path / "none")), "good"),
        (("--crl", str(tmp_path / "her")), "untrusted"),
    ):
        found = document(smime("verify", *trust, *words, message=signed))
        assert found["result"] == result, found


def test_without_anchors_those_of_the_configuration_count(smime: Smime, tmp_path: Path) -> None:
    root().write(tmp_path, "root")
    config = tmp_path / "connectors.yaml"
    config.write_text(
        "server: {hostname: mx.contoso.example}\ndirectory: {trust: {anchors: root.pem, revocation: off}}\n"
    )
    signed = sign(SIGNED_BY_ANNA, person("p256", "anna"))
    assert smime("verify", "-c", str(config), message=signed).exit_code == 0
    assert smime("verify", "-c", str(tmp_path / "none.yaml"), message=signed).exit_code == 1
    config.write_text("server: {}\n")
    refused = smime("verify", "-c", str(config), message=signed)
    assert (refused.exit_code, "has problems" in refused.stderr) == (1, True)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_certificate_that_does_not_travel_is_looked_for_in_the_directory(
    smime: Smime, tmp_path: Path, trusted: bool
) -> None:
    root().write(tmp_path, "root")
    config = tmp_path / "connectors.yaml"
    config.write_text(
        "server: {hostname: mx.contoso.example, queue: {store: sqlite:queue}}\n"
        "directory: {sources: [{type: folder, path: people}], trust: {anchors: root.pem, revocation: off}}\n"
    )
    (tmp_path / "people").mkdir()
    words = ("verify", "-c", str(config), *(("--trust", str(tmp_path / "root.pem")) if trusted else ()), "--json")
    signed = sign(SIGNED_BY_ANNA, person("p256", "anna"), chain="none")
    found = document(smime(*words, message=signed))
    assert (found["result"], "is not there" in found["reason"]) == ("malformed", True)
    (tmp_path / "people" / "berta.pem").write_bytes(person("p256", "berta").certificate.public_bytes(Encoding.PEM))
    assert document(smime(*words, message=signed))["result"] == "malformed"
    (tmp_path / "people" / "anna.pem").write_bytes(person("p256", "anna").certificate.public_bytes(Encoding.PEM))
    assert document(smime(*words, message=signed))["result"] == "good"


def revocation_list(*revoked: x509.Certificate) -> bytes:
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(root().certificate.subject)
    builder = builder.last_update(now - timedelta(hours=1)).next_update(now + timedelta(days=1))
    for certificate in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(now)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(root().key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_cms_without_a_message_around_it(smime: Smime) -> None:
    sealed = smime("encrypt", "--recipient", "5.3").stdout_bytes
    armor = b"-----BEGIN CMS-----\n" + sealed.split(b"\r\n\r\n", 1)[1] + b"-----END CMS-----\n"
    result = smime("decrypt", *BOB_READS, message=armor)
    assert result.stdout_bytes.startswith(b"Content-Type: text/plain")


@pytest.mark.parametrize(
    "words",
    [
        ("sign",),
        ("encrypt",),
        ("decrypt",),
        ("sign", "--key", "4.2"),  # whose certificate?
        ("sign", "--cert", "4.3", "--key", "4.4"),  # for encrypting
        ("encrypt", "--recipient", "4.1"),  # for signing
        ("encrypt", "--recipient", "4.2"),
        ("sign", *ALICE, "--profile", "rot13"),
        ("sign", "--key", "7.5"),
        ("verify", "--trust", "/nowhere.pem"),
    ],
)
def test_what_cannot_be_is_a_usage_error(smime: Smime, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        smime(*words)


def test_an_odd_message_is_neither_signed_nor_encrypted(smime: Smime) -> None:
    odd = b"Content-Type: text/plain\nContent-Type: text/html\n\nx\n"
    result = smime("sign", *ALICE, message=odd)
    assert (result.exit_code, result.stdout_bytes) == (1, b"")
    assert "duplicate-content-type" in result.stderr
    assert document(smime("sign", *ALICE, "--json", message=odd))["result"] == "duplicate-content-type"


def test_inspect_takes_cms_in_every_clothing(smime: Smime) -> None:
    """DER, PEM, base64, and messages with and without their CRLF."""
    message = sign(SIGNED_BY_ANNA, person("p256"))
    [der] = cms_in(message)
    text = base64.encodebytes(der)
    armor = b"-----BEGIN PKCS7-----\n" + text + b"-----END PKCS7-----\n"
    for given in (der, text, armor, b"-----BEGIN CMS-----\n" + text + b"-----END CMS-----\n", message):
        for form in (given, given.replace(b"\r\n", b"\n")) if given is message else (given,):
            done = smime("inspect", "--json", message=form)
            [tree] = json.loads(done.stdout)
            assert (done.exit_code, tree["content_type"], tree["octets"]) == (0, "signed-data", len(der))


def test_inspect_shows_people_a_tree(smime: Smime) -> None:
    shown = smime("inspect", message=sign(SIGNED_BY_ANNA, person("p256"))).stdout.splitlines()
    assert shown[:2] == ["layer: 1", "content_type: signed-data"]
    assert "      subject: Common Name: anna" in shown
    assert "          rfc822_name: anna@contoso.example" in shown


def test_inspect_says_what_it_expected(smime: Smime) -> None:
    for nothing in (b"", b"hello, world", MESSAGE):
        with pytest.raises(UsageError, match="CMS"):
            smime("inspect", message=nothing)
    with pytest.raises(UsageError, match="base64"):
        smime("inspect", message=b"MIIB=x")
    done = smime("inspect", message=b"\x30\x80\x06\x03\x2a")
    assert (done.exit_code, done.stdout) == (1, "unreadable: cut off: a part is longer than what it lies in\n")


def _element(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return bytes([tag, len(content)]) + content


def _short_cms(key_octets: int) -> bytes:
    """EnvelopedData for nobody (RFC 5652 §6.1), of fewer than 130 octets: DER that tells its length in one octet."""
    data, enveloped = bytes.fromhex("06092a864886f70d010701"), bytes.fromhex("06092a864886f70d010703")
    cipher = _element(0x30, bytes.fromhex("060960864801650304012a"), _element(0x04, b"i" * 16))
    content = _element(0x30, data, cipher, _element(0x80, b"c" * key_octets))
    return _element(0x30, enveloped, _element(0xA0, _element(0x30, _element(2, b"\0"), _element(0x31), content)))


@pytest.mark.parametrize("octets", [16, 48])
def test_cms_of_a_few_octets_is_cms_all_the_same(smime: Smime, octets: int) -> None:
    told = json.loads(smime("verify", "--json", message=_short_cms(octets)).stdout)
    assert told["result"] == "encrypted"


def test_mail_that_begins_with_a_zero_stays_mail(smime: Smime) -> None:
    field = b"0" + bytes([70]) + b": x\n\n"  # as if a SEQUENCE of 70 octets followed
    told = json.loads(smime("verify", "--json", message=field.ljust(72, b"z")).stdout)
    assert told["result"] == "unsigned"
