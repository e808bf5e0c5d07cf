"""Whether a chain leads to an anchor, and which word is said when it does not."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding

from mta.adapters.tls import chain as module
from mta.adapters.tls.chain import OpenSslChainVerifier
from mta.errors import ConfigurationError
from mta.model.tls import CertificateFacts, PathFault, TrustAnchors
from mta.rfc.pkix.certificate import certificate_facts
from tests.support.pki import Authority, Issued, anchors, facts, needs_openssl, self_signed

NOW = time.time()
DAY = 86_400
ROOT = Authority("Fabrikam Root CA")
BELOW = ROOT.intermediate("Fabrikam Mail CA")
GOOD = BELOW.issue(dns_names=["mail.fabrikam.example"])
OTHER = Authority("Stranger Root CA")
verifier = OpenSslChainVerifier()


def judge(shown: Issued | tuple[CertificateFacts, ...], trusted: TrustAnchors, now: float = NOW) -> tuple[str, str]:
    verdict = verifier.verify(facts(shown) if isinstance(shown, Issued) else shown, trusted, now)
    return verdict.fault, verdict.detail


def forged(issued: Issued) -> Issued:
    """The same certificate with another signature."""
    der = bytearray(issued.der)
    der[-4] ^= 1
    return replace(issued, certificate=x509.load_der_x509_certificate(bytes(der)))


def test_a_good_chain_is_trusted() -> None:
    assert judge(GOOD, anchors(ROOT)) == (PathFault.NONE, "")


def test_intermediates_may_come_in_any_order_with_the_root_and_with_strangers() -> None:
    shown = (*facts(GOOD), certificate_facts(ROOT.der), certificate_facts(OTHER.der))
    assert judge((shown[0], *reversed(shown[1:])), anchors(ROOT)) == ("", "")


@pytest.mark.parametrize("anchor", [BELOW.der, GOOD.der], ids=["an intermediate", "the leaf itself"])
def test_any_certificate_of_the_ca_file_is_an_anchor(anchor: bytes) -> None:
    assert judge(facts(GOOD)[:1], TrustAnchors("ca.pem", (anchor,))) == ("", "")


def test_a_self_signed_certificate_is_trusted_only_when_it_is_listed() -> None:
    alone = self_signed(dns_names=["mail.fabrikam.example"])
    assert judge(alone, anchors(ROOT))[0] == PathFault.UNTRUSTED
    assert judge(alone, TrustAnchors("ca.pem", (alone.der,))) == ("", "")


def test_a_chain_of_another_ca_is_untrusted_in_openssls_words() -> None:
    fault, detail = judge(OTHER.issue(dns_names=["mail.fabrikam.example"]), anchors(ROOT))
    assert fault == PathFault.UNTRUSTED
    assert detail == "unable to get local issuer certificate: CN=mail.fabrikam.example"


def test_a_missing_intermediate_is_untrusted() -> None:
    assert judge(facts(GOOD)[:1], anchors(ROOT))[0] == PathFault.UNTRUSTED


def test_no_certificate_and_no_anchors_are_untrusted() -> None:
    assert judge((), anchors(ROOT)) == (PathFault.UNTRUSTED, "no certificate was shown")
    assert judge(GOOD, TrustAnchors("empty.pem"))[0] == PathFault.UNTRUSTED


def test_time_is_judged_after_the_path() -> None:
    assert judge(BELOW.issue_expired(dns_names=["a.example"]), anchors(ROOT)) == (
        PathFault.EXPIRED,
        "certificate has expired: CN=a.example",
    )
    assert judge(BELOW.issue_early(dns_names=["a.example"]), anchors(ROOT)) == (
        PathFault.NOT_YET_VALID,
        "certificate is not yet valid: CN=a.example",
    )
    assert judge(OTHER.issue_expired(dns_names=["a.example"]), anchors(ROOT))[0] == PathFault.UNTRUSTED
    assert judge(OTHER.issue_early(dns_names=["a.example"]), anchors(ROOT))[0] == PathFault.UNTRUSTED


def test_the_moment_is_the_one_asked_for_each_time() -> None:
    """One prepared store serves every moment, in any order."""
    words = {0: "", 200: PathFault.EXPIRED, -200: PathFault.NOT_YET_VALID}
    for days in (0, 200, 0, -200, 0, 200, -200, 0):
        assert judge(GOOD, anchors(ROOT), NOW + days * DAY)[0] == words[days]


def test_validity_includes_its_first_and_last_second() -> None:
    start = datetime.fromtimestamp(int(NOW), UTC)
    leaf = ROOT.issue(dns_names=["a.example"], not_before=start, not_after=start + timedelta(seconds=9))
    faults = [judge(leaf, anchors(ROOT), int(NOW) + second)[0] for second in (-1, 0, 9, 10)]
    assert faults == [PathFault.NOT_YET_VALID, "", "", PathFault.EXPIRED]


def test_an_expired_intermediate_or_root_is_named() -> None:
    past = {"not_before": datetime.now(UTC) - timedelta(days=9), "not_after": datetime.now(UTC) - timedelta(days=1)}
    stale = ROOT.intermediate("Stale Mail CA", **past).issue(dns_names=["a.example"])
    assert judge(stale, anchors(ROOT)) == (PathFault.EXPIRED, "certificate has expired: CN=Stale Mail CA")
    old_root = Authority("Stale Root", **past)
    assert judge(old_root.issue(), anchors(old_root)) == (PathFault.EXPIRED, "certificate has expired: CN=Stale Root")


def test_a_renewed_ca_beside_its_expired_self_is_used() -> None:
    past = {"not_before": datetime.now(UTC) - timedelta(days=9), "not_after": datetime.now(UTC) - timedelta(days=1)}
    old = Authority("Renewed Root", key=ROOT.key, **past)
    new = Authority("Renewed Root", key=ROOT.key)
    for both in ((old, new), (new, old)):
        assert judge(new.issue(dns_names=["a.example"]), anchors(*both)) == ("", "")


def test_an_anchor_becomes_valid_while_we_run() -> None:
    later = {"not_before": datetime.fromtimestamp(int(NOW) + 100, UTC)}
    root = Authority("Future Root", **later)
    leaf = root.issue(dns_names=["a.example"])
    faults = [judge(leaf, anchors(root), int(NOW) + second)[0] for second in (0, 99, 100, 50)]
    assert faults == [PathFault.NOT_YET_VALID, PathFault.NOT_YET_VALID, "", PathFault.NOT_YET_VALID]


def test_a_bad_signature_is_invalid() -> None:
    assert judge(forged(GOOD), anchors(ROOT)) == (
        PathFault.INVALID,
        "certificate signature failure: CN=mail.fabrikam.example",
    )


def test_a_ca_of_the_right_name_with_another_key_is_not_trusted() -> None:
    assert judge(Authority("Fabrikam Root CA").issue(dns_names=["a.example"]), anchors(ROOT))[0] != PathFault.NONE


def test_a_leaf_that_plays_ca_is_invalid() -> None:
    thief = Authority("x", key=GOOD.key)
    thief._hold(Issued(GOOD.certificate, GOOD.key, (GOOD.certificate, *GOOD.chain)))
    fault, detail = judge(thief.issue(dns_names=["a.example"]), anchors(ROOT))
    assert fault in (PathFault.INVALID, PathFault.UNTRUSTED)
    assert "mail.fabrikam.example" in detail or "a.example" in detail


@pytest.mark.parametrize("eku", [[], ["serverAuth"], ["emailProtection"], ["codeSigning"]])
def test_purposes_are_not_judged_here(eku: list[str]) -> None:
    assert judge(ROOT.issue(dns_names=["a.example"], eku=eku), anchors(ROOT)) == ("", "")


@pytest.mark.parametrize("key", ["ec-brainpool256", "ec-p384", "rsa-2048", "ed25519"])
def test_usual_and_german_algorithms_are_taken(key: str) -> None:
    root = Authority("Root of another kind", key=key)
    assert judge(root.issue(dns_names=["a.example"], key=key), anchors(root)) == ("", "")


@pytest.mark.parametrize(
    ("constraints", "good"),
    [
        (x509.NameConstraints([x509.DNSName("fabrikam.example")], None), True),
        (x509.NameConstraints([x509.DNSName("tailspin.example")], None), False),
        (x509.NameConstraints(None, [x509.DNSName("fabrikam.example")]), False),
        (x509.NameConstraints(None, [x509.DNSName("mail.fabrikam.example")]), False),  # the wildcard covers it
        (x509.NameConstraints(None, [x509.DNSName("x.mail.fabrikam.example")]), True),
        (x509.NameConstraints(None, [x509.IPAddress(ip_network("192.0.2.0/24"))]), False),
        (x509.NameConstraints([x509.IPAddress(ip_network("192.0.2.0/24"))], None), True),
    ],
)
def test_the_names_of_a_server_are_its_issuers_to_give(constraints: x509.NameConstraints, good: bool) -> None:
    root = Authority("Constrained Root")
    bound = (
        x509.CertificateBuilder(root.certificate.subject, root.certificate.subject, root.key.public_key(), 5)
        .not_valid_before(datetime.fromtimestamp(NOW, UTC) - timedelta(days=1))
        .not_valid_after(datetime.fromtimestamp(NOW, UTC) + timedelta(days=1))
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .add_extension(constraints, critical=True)
        .sign(root.key, hashes.SHA256())  # type: ignore[arg-type]
    )
    root._hold(Issued(bound, root.key))
    shown = root.issue(dns_names=["*.fabrikam.example"], ips=["192.0.2.1"])
    assert judge(shown, anchors(root))[0] == ("" if good else PathFault.INVALID)


def test_a_small_key_anywhere_in_the_path_is_invalid() -> None:
    assert judge(ROOT.issue(dns_names=["a.example"], key="rsa-1024"), anchors(ROOT)) == (
        PathFault.INVALID,
        "key of 1024 bits, at least 2048 are needed: CN=a.example",
    )
    weak = Authority("Weak Root", key="rsa-1024")
    assert judge(weak.issue(dns_names=["a.example"]), anchors(weak))[0] == PathFault.INVALID


def test_a_sha1_signature_is_invalid() -> None:
    root = Authority("Old Root", key="rsa-2048")
    leaf = root.issue(dns_names=["a.example"])
    sha256_with_rsa, sha1_with_rsa = (bytes.fromhex(f"06092a864886f70d0101{end}") for end in ("0b", "05"))
    signed = leaf.certificate.tbs_certificate_bytes.replace(sha256_with_rsa, sha1_with_rsa)
    signature = root.key.sign(signed, padding.PKCS1v15(), hashes.SHA1())
    der = leaf.der.replace(sha256_with_rsa, sha1_with_rsa).replace(leaf.certificate.signature, signature)
    assert judge((certificate_facts(der),), anchors(root)) == (
        PathFault.INVALID,
        "signed with sha1, which is broken: CN=a.example",
    )
    assert judge((certificate_facts(der),), TrustAnchors("agreed.pem", (der,))) == ("", "")


def test_too_many_certificates_or_octets_are_invalid() -> None:
    fault, detail = judge(facts(GOOD) + facts(GOOD) * 5, anchors(ROOT))
    assert (fault, detail[:15]) == (PathFault.INVALID, "12 certificates")
    large = ROOT.issue(dns_names=[f"host-{i}.fabrikam.example" for i in range(4000)])
    assert judge(large, anchors(ROOT))[0] == PathFault.INVALID


def test_an_unreadable_ca_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match=r"broken\.pem"):
        judge(GOOD, TrustAnchors("broken.pem", (b"nothing",)))


def test_failures_leave_nothing_in_openssls_error_queue() -> None:
    """The next TLS operation of another session would report what it finds there."""
    from OpenSSL._util import lib

    for shown in (forged(GOOD), OTHER.issue(), BELOW.issue_expired()):
        judge(shown, anchors(ROOT))
        assert lib.ERR_peek_error() == 0


def test_prepared_stores_are_kept_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PREPARED", 2)
    fresh = OpenSslChainVerifier()
    for authority in (ROOT, OTHER, BELOW, ROOT, ROOT):
        assert fresh.verify(facts(GOOD), anchors(authority), NOW).trusted is (authority is not OTHER)
    assert len(fresh._prepared) == 2


def test_a_path_is_searched_once_but_its_time_is_judged_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PATHS", 2)
    fresh, trusted, searches = OpenSslChainVerifier(), anchors(ROOT), []
    search = module._find_path
    monkeypatch.setattr(module, "_find_path", lambda chain, store: searches.append(chain) or search(chain, store))
    assert [fresh.verify(facts(GOOD), trusted, NOW).fault for _ in range(3)] == ["", "", ""]
    assert len(searches) == 1
    assert fresh.verify(facts(GOOD), trusted, NOW + 200 * DAY).fault == PathFault.EXPIRED
    assert fresh.verify(facts(GOOD), anchors(OTHER), NOW).fault == PathFault.UNTRUSTED
    assert fresh.verify(facts(GOOD)[:1], trusted, NOW).fault == PathFault.UNTRUSTED
    for name in ("a.example", "b.example", "c.example"):
        assert fresh.verify(facts(BELOW.issue(dns_names=[name])), trusted, NOW).trusted
    assert len(fresh._paths) == 2


def test_the_systems_store_is_read_once_and_odd_roots_are_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.crt"
    junk = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    bundle.write_bytes(b"# roots\n" + junk + ROOT.certificate.public_bytes(Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    fresh, system = OpenSslChainVerifier(), TrustAnchors("system")
    assert fresh.verify(facts(GOOD), system, NOW).trusted
    bundle.unlink()
    assert fresh.verify(facts(GOOD), system, NOW).trusted
    assert fresh.verify(facts(OTHER.issue()), system, NOW).fault == PathFault.UNTRUSTED


@pytest.mark.peer
@needs_openssl
def test_openssl_itself_agrees(tmp_path: Path) -> None:
    """The same chains, judged by Debian's `openssl verify`."""
    ROOT.write(tmp_path / "ca.pem")
    for number, shown in enumerate((GOOD, OTHER.issue(), BELOW.issue_expired(), forged(GOOD))):
        chain, _ = shown.write(tmp_path, str(number))
        command = ["openssl", "verify", "-CAfile", "ca.pem", "-untrusted", chain.name, chain.name]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode == 0) is (judge(shown, anchors(ROOT))[0] == "")
