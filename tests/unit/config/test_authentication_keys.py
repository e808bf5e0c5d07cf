"""The keys of authentication: what is demanded of mail that comes in, and what signs mail that goes out."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from mta.config.dkim import load_key
from mta.contract.authentication import Authentication
from mta.contract.dkim import DkimKey, SealingKey, in_force
from mta.contract.inbound import Inbound
from mta.errors import ConfigurationError
from tests.unit.config.support import SERVER, built, examined, lines


@lru_cache(8)
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, bits)


def write(path: Path, key: object, encryption: object = None, mode: int = 0o600) -> None:
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())  # type: ignore[attr-defined]
    path.write_bytes(secret)
    path.chmod(mode)


def partner(inbound: str, name: str = "a", domains: str = "domains: [p.example], ") -> str:
    return f"{SERVER}connectors:\n  {name}: {{{domains}inbound: {{{inbound}}}}}\n"


def demanding(keys: str, name: str = "a") -> str:
    if name == "default":
        return partner(f"authentication: {{{keys}}}", name, "")
    return partner(f"identity: none, authentication: {{{keys}}}", name)


def inbound(text: str, name: str = "a") -> Inbound:
    return built(text).connectors[name].inbound


def warned(text: str, folder: Path | str = "") -> list[str]:
    examination = examined(text, folder)
    assert examination.problems == ()
    return [f"{w.path}: {w.message}".replace(f"{folder}/", "") for w in examination.warnings]


# --- inbound ------------------------------------------------------------------------------------------------------


def test_without_the_key_nothing_is_demanded_and_dmarc_is_reported():
    found = inbound(partner("identity: none")).authentication
    assert found == Authentication(dmarc="report", on_failure="tag")
    assert not found.checked
    assert not found.demands


def test_every_key_of_authentication_arrives():
    keys = (
        "dkim: aligned, min_rsa_bits: 2048, spf: pass, dmarc: pass, require: any, "
        "arc: {trusted_sealers: [Lists.example, lists.example]}, on_failure: quarantine"
    )
    assert inbound(demanding(keys)).authentication == Authentication(
        True, "aligned", 2048, "pass", "pass", "any", ("lists.example",), "quarantine", "refuse"
    )


@pytest.mark.parametrize(
    ("name", "keys", "null_mx"),
    [
        ("a", "dmarc: report", "refuse"),
        ("a", "null_mx: report", "report"),
        ("default", "dmarc: report", "report"),
        ("default", "null_mx: refuse", "refuse"),
    ],
)
def test_senders_who_take_no_mail_are_refused_by_contracts_and_told_of_by_default(name: str, keys: str, null_mx: str):
    text = demanding(keys, name)
    assert inbound(text, name).authentication.null_mx == null_mx
    assert warned(text) == []


@pytest.mark.parametrize(
    ("keys", "on_failure"),
    [
        ("dkim: valid", "refuse"),
        ("spf: pass", "refuse"),
        ("dmarc: enforce", "refuse"),
        ("dmarc: pass", "refuse"),
        ("dkim: valid, on_failure: tag", "tag"),
        ("dmarc: report", "tag"),
        ("dmarc: none", "tag"),
    ],
)
def test_who_demands_refuses_unless_something_else_is_written(keys: str, on_failure: str):
    assert inbound(demanding(keys)).authentication.on_failure == on_failure


def test_default_tags_and_says_so():
    text = demanding("dkim: valid", "default")
    assert inbound(text, "default").authentication.on_failure == "tag"
    assert warned(text) == ["connectors.default.inbound.authentication: in default mail that fails is only tagged"]
    assert warned(demanding("dkim: valid, on_failure: tag", "default")) == []
    assert warned(demanding("dmarc: report", "default")) == []


def test_a_connector_without_inbound_takes_the_demands_of_default():
    text = f"{demanding('spf: pass, on_failure: refuse', 'default')}  b: {{domains: [b.example]}}\n"
    assert inbound(text, "b").authentication == Authentication(checked=True, spf="pass", on_failure="refuse")


def test_refusing_the_world_by_its_dmarc_policy_alone_is_a_warning():
    text = demanding("dmarc: enforce, on_failure: refuse", "default")
    (warning,) = warned(text)
    assert warning.startswith("connectors.default.inbound.authentication.dmarc: mail is refused by p=reject alone")
    assert "RFC 9989 §7.4" in warning
    for gentle in ("dmarc: enforce, on_failure: quarantine", "dmarc: pass, on_failure: refuse"):
        assert warned(demanding(gentle, "default")) == []
    assert warned(demanding("dmarc: enforce, on_failure: refuse")) == []  # agreed with a partner


@pytest.mark.parametrize(
    ("keys", "path", "message"),
    [
        ("on_failure: refuse", "on_failure", "on_failure is without effect: nothing is demanded"),
        ("arc: {trusted_sealers: [l.example]}", "arc", "arc is without effect: nothing is demanded"),
        ("dkim: valid, require: any", "require", "require: any has nothing to choose from"),
        ("spf: pass, min_rsa_bits: 2048", "min_rsa_bits", "min_rsa_bits is without effect: no signature is demanded"),
    ],
)
def test_keys_without_effect_are_told(keys: str, path: str, message: str):
    assert warned(demanding(keys)) == [f"connectors.a.inbound.authentication.{path}: {message}"]


@pytest.mark.parametrize(
    ("keys", "path", "message"),
    [
        ("dkim: strict", "dkim", "expected none or valid or aligned, found strict"),
        ("min_rsa_bits: 1023", "min_rsa_bits", "expected a number of bits from 1024 to 8192, found 1023"),
        ("min_rsa_bits: 8193", "min_rsa_bits", "expected a number of bits from 1024 to 8192, found 8193"),
        ("min_rsa_bits: true", "min_rsa_bits", "expected a number of bits from 1024 to 8192, found true"),
        ("spf: fail", "spf", "expected none or pass, found fail"),
        ("dmarc: reject", "dmarc", "expected none or report or enforce or pass, found reject"),
        ("require: one", "require", "expected all or any, found one"),
        ("arc: [x.example]", "arc", "expected an object, found a list (write keys below it, or {})"),
        ("arc: {trusted_sealers: ['a b']}", "arc.trusted_sealers[0]", "a b is not a domain name"),
        ("on_failure: drop", "on_failure", "expected refuse or quarantine or tag, found drop"),
        ("on_fail: refuse", "on_fail", "unknown key (did you mean on_failure?)"),
    ],
)
def test_nonsense_is_told_at_its_key(keys: str, path: str, message: str):
    (problem,) = lines(examined(demanding(keys)))
    assert f" connectors.a.inbound.authentication.{path}: {message}" in problem


def test_a_signature_is_no_proof_of_the_peer_but_the_hint_knows_it():
    (problem,) = lines(examined(partner("authentication: {dkim: aligned}")))
    assert "3:29: connectors.a.inbound: nothing here proves who sends for these domains" in problem
    assert (
        "(a signature proves the author, not the peer: write identity: none if that is enough, or networks)" in problem
    )
    for weaker in ("dkim: valid", "dkim: aligned, on_failure: tag"):
        (problem,) = lines(examined(partner(f"authentication: {{{weaker}}}")))
        assert "(write networks or tls.client_certificate, or identity: none if that is meant)" in problem


def test_header_from_may_pass_by_dkim():
    assert inbound(partner("identity: none")).header_from == "contract"
    text = partner("identity: none, header_from: dkim")
    assert inbound(text).header_from == "dkim"
    assert warned(text) == []
    assert len(lines(examined(partner("identity: none, header_from: spf")))) == 1


def test_header_from_without_a_claim_is_told():
    path = "connectors.a.inbound.header_from: "
    assert warned(partner("identity: none, claims: [mail_from], header_from: dkim")) == [
        f"{path}claims does not name header_from: From is not judged at all"
    ]
    assert warned(partner("networks: [10.0.0.0/8], header_from: dkim", domains="")) == [
        f"{path}without domains no From is judged by this contract"
    ]


def test_trusted_hops_are_networks_of_both_families():
    text = partner("identity: none, trusted_hops: [192.0.2.0/28, '2001:db8::/64', '::ffff:10.0.0.1', 192.0.2.0/28]")
    assert inbound(text).trusted_hops == tuple(map(ip_network, ("192.0.2.0/28", "2001:db8::/64", "10.0.0.1/32")))


@pytest.mark.parametrize("everyone", ["0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96"])
def test_nobody_trusts_everyone_as_a_hop(everyone: str):
    (problem,) = lines(examined(partner(f"identity: none, trusted_hops: [192.0.2.1, '{everyone}']")))
    assert "connectors.a.inbound.trusted_hops[1]: " in problem
    assert "is everyone: any client could choose the address that SPF is judged at" in problem


def test_trusted_hops_with_host_bits_are_told():
    (problem,) = lines(examined(partner("identity: none, trusted_hops: [192.0.2.1/24]")))
    assert "trusted_hops[0]: 192.0.2.1/24 has host bits set" in problem


# --- outbound and server ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("written", "found"), [("auto", "auto"), ("off", "off"), ("'off'", "off")])
def test_signing_can_be_switched_off_with_or_without_quotes(written: str, found: str):
    text = f"{SERVER}connectors: {{default: {{outbound: {{dkim: {written}}}}}}}\n"
    assert built(text).default.outbound.dkim == found
    assert built(SERVER).default.outbound.dkim == "auto"


@pytest.mark.parametrize("written", ["on", "no", "OFF", "false"])
def test_other_words_for_no_are_not_guessed(written: str):
    (problem,) = lines(examined(f"{SERVER}connectors: {{default: {{outbound: {{dkim: {written}}}}}}}\n"))
    assert "connectors.default.outbound.dkim: expected auto or off" in problem


def test_received_spf_is_a_switch():
    assert not built(SERVER).server.received_spf
    assert built("server: {hostname: a.example, received_spf: true}").server.received_spf
    assert len(lines(examined("server: {hostname: a.example, received_spf: maybe}"))) == 1


# --- domains.X.dkim -----------------------------------------------------------------------------------------------


def signing(*entries: str) -> str:
    written = "".join(f"      - {{{entry}}}\n" for entry in entries)
    return f"{SERVER}domains:\n  own.example:\n    deliver_to: [m.example]\n    dkim:\n{written}"


def keys_of(text: str, folder: Path) -> tuple[DkimKey, ...]:
    return built(text, folder).domains["own.example"].dkim


def told(text: str, folder: Path) -> list[str]:
    return [line.replace(f"{folder}/", "") for line in lines(examined(text, folder))]


def epoch(*moment: int) -> float:
    return datetime(*moment, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]


def test_the_algorithm_follows_from_the_key(tmp_path: Path):
    write(tmp_path / "r.key", rsa_key())
    write(tmp_path / "e.key", ed25519.Ed25519PrivateKey.generate())
    text = signing("selector: S1, key: r.key", "selector: '2026.e', key: e.key")
    assert keys_of(text, tmp_path) == (
        DkimKey("s1", str(tmp_path / "r.key"), 0.0, "rsa-sha256", 0.0),
        DkimKey("2026.e", str(tmp_path / "e.key"), 0.0, "ed25519-sha256", 0.0),
    )
    assert warned(text, tmp_path) == []


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-05-01", (2026, 5, 1)),
        ("2026-05-01T10:30", (2026, 5, 1, 10, 30)),
        ("2026-05-01 10:30:15Z", (2026, 5, 1, 10, 30, 15)),
        ("2026-05-01T10:30+02:00", (2026, 5, 1, 8, 30)),
        ("'2000-01-01'", (2000, 1, 1)),
    ],
)
def test_moments_are_utc_unless_they_say_otherwise(tmp_path: Path, written: str, moment: tuple[int, ...]):
    write(tmp_path / "k", rsa_key())
    (key,) = keys_of(signing(f"selector: s, key: k, from: {written}, until: 2030-01-01"), tmp_path)
    assert (key.since, key.until) == (epoch(*moment), epoch(2030, 1, 1))


@pytest.mark.parametrize(
    "written",
    ["2026-13-01", "2026-02-30", "20260501", "soon", "2026-05", "2026-W10-1", "1999-12-31", "9999-12-31", "[]"],
)
def test_what_is_no_moment_is_told(tmp_path: Path, written: str):
    write(tmp_path / "k", rsa_key())
    (problem,) = told(signing(f"selector: s, key: k, from: {written}"), tmp_path)
    assert " domains.own.example.dkim[0].from: " in problem


@pytest.mark.parametrize("selector", ["a b", "a..b", "-a", "a_-", "ü", "a@b", "", "20260501", "a" * 64])
def test_what_is_no_selector_is_told(tmp_path: Path, selector: str):
    write(tmp_path / "k", rsa_key())
    written = selector if selector.isdigit() else f"'{selector}'"
    (problem,) = told(signing(f"selector: {written}, key: k"), tmp_path)
    assert problem.startswith("6:20: domains.own.example.dkim[0].selector: ")


def test_a_name_that_dns_cannot_hold_is_told(tmp_path: Path):
    write(tmp_path / "k", rsa_key())
    domain = ".".join(["d" * 63] * 3)
    text = f"{SERVER}domains: {{{domain}: {{deliver_to: [m.example], dkim: [{{selector: {'s' * 60}, key: k}}]}}}}"
    (problem,) = told(text, tmp_path)
    assert "the name of its record would have more than 253 characters" in problem


def test_keys_may_be_missing_and_unknown(tmp_path: Path):
    write(tmp_path / "k", rsa_key())
    assert told(signing("selector: s"), tmp_path) == ["6:9: domains.own.example.dkim[0].key: this key is required"]
    (problem,) = told(signing("selector: s, key: k, form: 2026-01-01"), tmp_path)
    assert problem == "6:31: domains.own.example.dkim[0].form: unknown key (did you mean from?)"
    (problem,) = told(signing("selector: s, key: k, from_: 2026-01-01"), tmp_path)
    assert problem.endswith("dkim[0].from_: unknown key (did you mean from?)")


def test_files_that_cannot_sign_are_told_at_their_lines(tmp_path: Path):
    write(tmp_path / "locked", rsa_key(), BestAvailableEncryption(b"x"))
    write(tmp_path / "curve", ec.generate_private_key(ec.SECP256R1()))
    (tmp_path / "nonsense").write_text("nonsense")
    public = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public").write_bytes(public)
    names = ("none", "locked", "curve", "nonsense", "public")
    entries = (f"selector: s{place}, key: {name}" for place, name in enumerate(names))
    problems = told(signing(*entries), tmp_path)
    assert [problem.split(": ", 2)[:2] for problem in problems] == [
        [f"{6 + place}:29", f"domains.own.example.dkim[{place}].key"] for place in range(5)
    ]
    assert [problem.split(": ", 2)[2].partition(" (")[0] for problem in problems] == [
        "none cannot be read: No such file or directory",
        "the key in locked has a passphrase",
        "the key in curve is neither RSA nor Ed25519",
        "nonsense holds no PEM private key",
        "public holds no PEM private key",
    ]


def test_short_keys_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "short", rsa_key(1024))
    text = signing("selector: s, key: short")
    assert warned(text, tmp_path) == ["domains.own.example.dkim[0].key: the RSA key in short has 1024 bits"]
    monkeypatch.setattr("mta.config.dkim.RSA_BITS", (1025, 8192))  # the library makes no shorter ones
    (problem,) = told(text, tmp_path)
    assert problem.startswith("6:28: domains.own.example.dkim[0].key: the RSA key in short has 1024 bits (")


def test_a_key_that_everybody_can_read_is_told(tmp_path: Path):
    write(tmp_path / "k", rsa_key(), mode=0o644)
    assert warned(signing("selector: s, key: k"), tmp_path) == [
        "domains.own.example.dkim[0].key: every user of this machine can read the private key in k"
    ]


def test_one_selector_has_one_key(tmp_path: Path):
    write(tmp_path / "k", rsa_key())
    (problem,) = told(signing("selector: s1, key: k", "selector: S1, key: k"), tmp_path)
    assert problem.startswith("7:20: domains.own.example.dkim[1].selector: the selector s1 is used twice")


def test_a_key_ends_after_it_begins(tmp_path: Path):
    write(tmp_path / "k", rsa_key())
    text = signing("selector: s, key: k, from: 2026-01-01, until: 2026-01-01")
    assert "dkim[0].until: it ends before it begins" in told(text, tmp_path)[0]


@pytest.mark.parametrize("span", ["from: 2026-06-02", "until: 2026-06-01", "from: 2026-01-01, until: 2026-05-01"])
def test_a_domain_whose_keys_all_rest_is_told(tmp_path: Path, span: str):
    write(tmp_path / "k", rsa_key())
    assert warned(signing(f"selector: s, key: k, {span}"), tmp_path) == [
        "domains.own.example.dkim: no key is in force today: mail of own.example leaves unsigned"
    ]


def test_of_each_algorithm_the_key_that_began_last_signs():
    old = DkimKey("old", "", 0.0)
    new = DkimKey("new", "", 100.0, until=200.0)
    other = DkimKey("other", "", 50.0, "ed25519-sha256")
    keys = (new, old, other)
    assert in_force(keys, 10.0) == (old,)
    assert in_force(keys, 50.0) == (old, other)
    assert in_force(keys, 100.0) == (new, other)
    assert in_force(keys, 200.0) == (old, other)
    assert in_force((old, DkimKey("twin", "")), 0.0) == (DkimKey("twin", ""),)
    assert in_force((), 0.0) == ()


def test_a_key_that_cannot_be_loaded_is_an_error_with_its_reason(tmp_path: Path):
    write(tmp_path / "k", rsa_key())
    assert load_key(str(tmp_path / "k")).public_key() == rsa_key().public_key()
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load_key(str(tmp_path / "none"))


# --- arc seals ----------------------------------------------------------------------------------------------------

SEALED = "server: {hostname: mx.contoso.example, arc: {domain: Contoso.example, selector: arc1, key: arc.key}}\n"
SEALS = "connectors: {default: {outbound: {arc: seal}}}\n"


def test_a_key_that_seals_stands_at_the_server_and_a_connector_says_where(tmp_path: Path):
    write(tmp_path / "arc.key", rsa_key())
    found = built(SEALED + SEALS, tmp_path)
    key = DkimKey("arc1", str(tmp_path / "arc.key"))
    assert found.server.arc == SealingKey("contoso.example", key)
    assert found.connectors["default"].outbound.arc == "seal"
    assert built(SERVER).connectors["default"].outbound.arc == "off"


def test_sealing_without_a_key_a_key_without_sealing_and_odd_keys_are_told(tmp_path: Path):
    missing = lines(examined(SERVER + SEALS))
    assert missing == [
        "2:35: connectors.default.outbound.arc: there is no key to seal with "
        "(write server.arc: {domain, selector, key})"
    ]
    assert lines(examined(SEALED + SEALS, tmp_path))[0].startswith("1:")  # the file is not there
    write(tmp_path / "arc.key", rsa_key())
    assert warned(SEALED, tmp_path) == ["server.arc: no connector seals: this is without effect"]
    write(tmp_path / "arc.key", ed25519.Ed25519PrivateKey.generate())
    assert warned(SEALED + SEALS, tmp_path) == [
        "server.arc.key: few who verify ARC know Ed25519: to them the chain is broken"
    ]


def test_second_opinion_is_a_share():
    assert built(SERVER).server.second_opinion == 0.0
    assert built("server: {hostname: a.example, second_opinion: 0.01}").server.second_opinion == 0.01
    assert built("server: {hostname: a.example, second_opinion: 1}").server.second_opinion == 1.0
    for wrong in ("-0.1", "1.1", "true", "often", ".nan", "1%"):
        assert len(lines(examined(f"server: {{hostname: a.example, second_opinion: {wrong}}}"))) == 1
