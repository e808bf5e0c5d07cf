"""The keys of S/MIME: profiles with their changes, our own certificates, and what contradicts itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from mta.contract.server import Pkcs11
from mta.contract.smime import Smime
from mta.contract.values import KeyPair
from mta.rfc.smime.profile import PROFILES
from tests.unit.config.support import SERVER, built, examined, issue, lines


def partner(smime: str, tls: str = "level: encrypted") -> str:
    return (
        f"{SERVER}connectors:\n  a:\n    domains: [p.example]\n"
        f"    outbound: {{tls: {{{tls}}}, smime: {{{smime}}}}}\n    inbound: {{identity: none}}\n"
    )


def smime(text: str) -> Smime:
    return built(partner(text)).connectors["a"].outbound.smime


def warned(text: str) -> list[str]:
    return [f"{w.path}: {w.message}" for w in examined(text).warnings]


def test_without_the_key_nothing_is_signed_or_encrypted() -> None:
    found = built(f"{SERVER}").connectors["default"].outbound.smime
    assert found == Smime()
    assert not found.protects


def test_a_profile_is_taken_with_single_algorithms_changed() -> None:
    found = smime("sign: always, profile: authenticated, algorithms: {digest: sha512, minimum_rsa_bits: 3072}")
    assert (found.sign, found.protects) == ("always", True)
    base = PROFILES["authenticated"]
    assert (found.profile.digest, found.profile.minimum_rsa_bits) == ("sha512", 3072)
    assert (found.profile.cipher, found.profile.key_transport) == (base.cipher, base.key_transport)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("encrypt: required, without_certificate: plaintext", "expected"),
        ("sign: always, algorithms: {digest: md5}", "expected"),
        ("sign: always, algorithms: {hash: sha256}", "unknown key"),
        ("encrypt: required, without_certificate: tls", "TLS is enough where it is verified"),
        ("sign: always, header_protection: confidential", "confidential header fields need encryption"),
    ],
)
def test_what_cannot_be_meant_is_a_problem_at_its_line(text: str, problem: str) -> None:
    [line] = lines(examined(partner(text)))
    assert line.startswith("5:")
    assert problem in line


def test_tls_is_enough_where_it_is_verified() -> None:
    text = partner("encrypt: required, without_certificate: tls", "level: verified")
    assert built(text).connectors["a"].outbound.smime.without_certificate == "tls"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("without_certificate: hold, sign: always", "without_certificate"),
        ("profile: authenticated", "profile"),
        ("encrypt: required, format: opaque", "format"),
    ],
)
def test_keys_without_effect_are_told(text: str, key: str) -> None:
    [warning] = warned(partner(text))
    assert warning.startswith(f"connectors.a.outbound.smime.{key}: ")
    assert "without effect" in warning


def own(keys: str) -> str:
    return f"{SERVER}domains:\n  contoso.example: {{deliver_to: ['mail.contoso.example'], smime: {{{keys}}}}}\n"


def test_our_own_certificates_are_read_beside_the_file(tmp_path: Path) -> None:
    issue().write(tmp_path, "office")
    (tmp_path / "people").mkdir()
    (tmp_path / "password").write_text("geheim\n")
    (tmp_path / "password").chmod(0o600)
    text = own("certificate: {chain: office.pem, key: office.key}, people: people, password_file: password")
    found = built(text, tmp_path).domains["contoso.example"].smime
    assert found is not None
    assert found.certificate == KeyPair(str(tmp_path / "office.pem"), str(tmp_path / "office.key"))
    assert (found.people, found.former, found.password) == (str(tmp_path / "people"), "", "geheim")
    assert "geheim" not in repr(found)


def test_pairs_that_do_not_fit_and_folders_that_are_none_are_problems(tmp_path: Path) -> None:
    issue().write(tmp_path, "office")
    issue().write(tmp_path, "other")
    text = own("certificate: {chain: office.pem, key: other.key}, people: office.pem, former: gone")
    told = "\n".join(lines(examined(text, tmp_path)))
    assert "does not belong to the certificate" in told
    assert "office.pem cannot be read: Not a directory" in told
    assert "gone cannot be read: No such file" in told


def test_of_a_tokens_key_only_the_chain_is_read(tmp_path: Path) -> None:
    issue().write(tmp_path, "office")
    text = own("certificate: {chain: office.pem, key: 'pkcs11:token=mta;object=office'}")
    (tmp_path / "module.so").touch()
    (tmp_path / "pin").write_text("1234\n")
    (tmp_path / "pin").chmod(0o600)
    assert "nothing reaches tokens (write server.pkcs11)" in lines(examined(text, tmp_path))[0]
    text = text.replace("}\n", f", pkcs11: {{module: {tmp_path}/module.so, pin_file: pin}}}}\n", 1)
    assert built(text, tmp_path).server.pkcs11 == Pkcs11(f"{tmp_path}/module.so", "1234")
    found = built(text, tmp_path).domains["contoso.example"].smime
    assert found is not None
    assert found.certificate == KeyPair(str(tmp_path / "office.pem"), "pkcs11:token=mta;object=office")


def test_a_dkim_key_may_be_in_a_token_and_its_module_must_be_there() -> None:
    server = SERVER.replace("}", ", pkcs11: {module: /nowhere.so, pin_file: /nowhere}}")
    dkim = "{selector: s1, key: 'pkcs11:token=mta;object=s1'}"
    text = f"{server}domains:\n  contoso.example: {{deliver_to: [h.example], dkim: [{dkim}]}}\n"
    told = lines(examined(text))
    assert "there is no file /nowhere.so" in told[0]
    assert len(told) == 2
