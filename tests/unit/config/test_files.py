from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from tests.unit.config.support import at, built, examined, issue, lines, root

TEXT = "server: {hostname: mx.contoso.example, certificate: {chain: mx.pem, key: mx.key}}\n"
CHAIN, KEY = "1:61: server.certificate.chain: ", "1:74: server.certificate.key: "
CA = (
    "server: {hostname: mx.contoso.example}\n"
    "connectors: {a: {domains: [p.example], inbound: {identity: none}, outbound: {tls: {ca: ca.pem}}}}\n"
)
OWN = "server: {hostname: mx.contoso.example}\ndomains: {own.example: {deliver_to: [m.example], recipients: who}}\n"
AUTH = (
    "server: {hostname: mx.contoso.example}\n"
    "connectors: {a: {domains: [p.example], inbound: {identity: none}, outbound: "
    "{route: {hosts: [m.example]}, tls: {level: verified}, auth: {user: u, password_file: pw}}}}\n"
)


def told(text: str, folder: Path) -> list[str]:
    return [line.replace(f"{folder}/", "") for line in lines(examined(text, folder))]


def warned(text: str, folder: Path) -> list[str]:
    examination = examined(text, folder)
    assert examination.configuration is not None
    return [f"{w.line}:{w.col}: {w.path}: {w.message}".replace(f"{folder}/", "") for w in examination.warnings]


def test_a_matching_pair_in_its_time_is_good(tmp_path: Path):
    issue().write(tmp_path, "mx")
    assert warned(TEXT, tmp_path) == []


def test_missing_files_are_told_at_their_lines(tmp_path: Path):
    missing = "cannot be read: No such file or directory (paths begin at the folder of connectors.yaml)"
    assert told(TEXT, tmp_path) == [f"{CHAIN}mx.pem {missing}", f"{KEY}mx.key {missing}"]


def test_a_folder_is_no_certificate(tmp_path: Path):
    issue().write(tmp_path, "mx")
    (tmp_path / "mx.pem").unlink()
    (tmp_path / "mx.pem").mkdir()
    assert told(TEXT, tmp_path) == [f"{CHAIN}mx.pem is not a regular file"]


def test_what_is_not_pem_is_told(tmp_path: Path):
    (tmp_path / "mx.pem").write_bytes(issue().der)
    (tmp_path / "mx.key").write_text("nonsense")
    (tmp_path / "mx.key").chmod(0o600)
    chain, key = told(TEXT, tmp_path)
    assert chain.startswith(f"{CHAIN}mx.pem holds no PEM certificates")
    assert chain.endswith("(this is DER: openssl x509 -inform DER -in FILE -out FILE.pem)")
    assert key == f"{KEY}mx.key holds no PEM private key (expected -----BEGIN PRIVATE KEY-----)"


def test_a_key_with_a_passphrase_is_told(tmp_path: Path):
    issued = issue()
    issued.write(tmp_path, "mx")
    secret = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    (tmp_path / "mx.key").write_bytes(secret)
    assert told(TEXT, tmp_path)[0].startswith(f"{KEY}the key in mx.key has a passphrase")


def test_a_key_of_another_certificate_is_told(tmp_path: Path):
    issue().write(tmp_path, "mx")
    issue().write(tmp_path, "other")
    (tmp_path / "other.key").rename(tmp_path / "mx.key")
    assert told(TEXT, tmp_path) == [
        f"{KEY}the key does not belong to the certificate of `chain` (chain and key must come from one request)"
    ]


def test_a_chain_in_the_wrong_order_is_told(tmp_path: Path):
    above, issued = issue(), issue()
    issued.write(tmp_path, "mx")
    (tmp_path / "mx.pem").write_bytes(above.chain_pem + issued.chain_pem)
    assert told(TEXT, tmp_path) == [
        f"{CHAIN}"
        "the certificate of this key is number 2 of the file (our own certificate comes first, then those above it)"
    ]


@pytest.mark.parametrize(
    ("begins", "ends", "message"),
    [
        (-90, -1, "expired on 2026-05-31 (put a renewed certificate in its place)"),
        (
            2,
            90,
            "is not valid before 2026-06-03 00:00 UTC, this machine's clock says 2026-06-01 00:00 UTC"
            " (put a renewed certificate in its place)",
        ),
    ],
)
def test_our_own_certificate_must_be_in_its_time(tmp_path: Path, begins: float, ends: float, message: str):
    issue(begins, ends).write(tmp_path, "mx")
    assert told(TEXT, tmp_path) == [f"{CHAIN}the certificate CN=mx.contoso.example in mx.pem {message}"]


def test_fewer_than_fourteen_days_left_is_a_warning(tmp_path: Path):
    issue(-1, 13.5).write(tmp_path, "mx")
    assert warned(TEXT, tmp_path) == [
        f"{CHAIN}the certificate CN=mx.contoso.example in mx.pem expires on 2026-06-14, in 13 days"
    ]
    issue(-1, 14.5).write(tmp_path, "mx")
    assert warned(TEXT, tmp_path) == []


def test_an_expired_intermediate_is_a_warning(tmp_path: Path):
    below = root().intermediate("Old CA", not_before=at(-90), not_after=at(-1))
    issue(authority=below).write(tmp_path, "mx")
    assert warned(TEXT, tmp_path) == [f"{CHAIN}the certificate CN=Old CA in mx.pem expired on 2026-05-31"]


def test_a_key_that_every_user_can_read_is_a_warning(tmp_path: Path):
    issue().write(tmp_path, "mx")
    (tmp_path / "mx.key").chmod(0o644)
    assert warned(TEXT, tmp_path) == [f"{KEY}every user of this machine can read the private key in mx.key"]
    (tmp_path / "mx.key").chmod(0o640)
    assert warned(TEXT, tmp_path) == []


def test_a_ca_file_becomes_anchors(tmp_path: Path):
    one, two = issue(), issue()
    (tmp_path / "ca.pem").write_bytes(one.chain_pem + two.chain_pem)
    anchors = built(CA, tmp_path).connectors["a"].outbound.tls.ca
    assert anchors is not None
    assert (anchors.path, anchors.certificates) == (str(tmp_path / "ca.pem"), (one.der, two.der))
    assert len(anchors.digest) == len(sha256().hexdigest())


def test_the_digest_of_anchors_follows_their_certificates(tmp_path: Path):
    digests = set()
    for certificates in (issue().chain_pem, issue().chain_pem):
        (tmp_path / "ca.pem").write_bytes(certificates)
        anchors = built(CA, tmp_path).connectors["a"].outbound.tls.ca
        assert anchors is not None
        digests.add(anchors.digest)
    assert len(digests) == 2


def test_a_ca_file_needs_one_ca_that_is_valid(tmp_path: Path):
    old, new = issue(-90, -1), issue()
    (tmp_path / "ca.pem").write_bytes(old.chain_pem)
    assert told(CA, tmp_path) == [
        "2:88: connectors.a.outbound.tls.ca: no CA in ca.pem is valid today: "
        "the certificate CN=mx.contoso.example expired on 2026-05-31"
    ]
    (tmp_path / "ca.pem").write_bytes(old.chain_pem + new.chain_pem)
    assert len(warned(CA, tmp_path)) == 1


def test_the_systems_anchors_are_not_read():
    anchors = built(CA.replace("ca.pem", "system")).connectors["a"].outbound.tls.ca
    assert anchors is not None
    assert anchors.is_system


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\n", b"a\0b\n"])
def test_what_cannot_be_a_password_is_told(tmp_path: Path, content: bytes):
    (tmp_path / "pw").write_bytes(content)
    (tmp_path / "pw").chmod(0o600)
    [line] = told(AUTH, tmp_path)
    assert line.startswith("2:162: connectors.a.outbound.auth.password_file: ")


def test_only_the_first_line_is_the_password(tmp_path: Path):
    (tmp_path / "pw").write_bytes("pässword \r\nnote\n".encode())
    assert warned(AUTH, tmp_path) == [
        "2:162: connectors.a.outbound.auth.password_file: every user of this machine can read the password in pw"
    ]
    auth = built(AUTH, tmp_path).connectors["a"].outbound.auth
    assert auth is not None
    assert auth.password == "pässword "


def test_wrong_lines_of_a_recipient_list_are_told_at_their_own_lines(tmp_path: Path):
    (tmp_path / "who").write_text("bob@own.example\nann\nx@elsewhere.example\n")
    found = [(p.file, p.line, p.path) for p in examined(OWN, tmp_path).problems]
    who = str(tmp_path / "who")
    assert found == [(who, 2, "domains.own.example.recipients"), (who, 3, "domains.own.example.recipients")]


def test_an_empty_recipient_list_is_a_warning(tmp_path: Path):
    (tmp_path / "who").write_text("# nobody yet\n")
    assert warned(OWN, tmp_path) == ["2:62: domains.own.example.recipients: who lists no address of own.example"]
    assert built(OWN, tmp_path).domains["own.example"].recipients == frozenset()
