"""Exchange Online's connectors as contracts: two cmdlets, one partner object, and every difference said."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.importers.draft import Draft, render
from mta.importers.exchange.convert import import_exchange
from tests.unit.config.support import examined

INBOUND = {
    "Name": "Fabrikam inbound",
    "ConnectorType": "Partner",
    "Enabled": True,
    "SenderDomains": ["smtp:*.fabrikam.example;1"],
    "RequireTls": True,
    "RestrictDomainsToCertificate": True,
    "TlsSenderCertificateName": "mail.fabrikam.example",
    "RestrictDomainsToIPAddresses": False,
    "SenderIPAddresses": [],
}
OUTBOUND = {
    "Name": "Fabrikam outbound",
    "Enabled": True,
    "RecipientDomains": ["*.fabrikam.example"],
    "UseMXRecord": False,
    "SmartHosts": ["[203.0.113.9]", "mx1.fabrikam.example"],
    "TlsSettings": "DomainValidation",
    "TlsDomain": "*.fabrikam.example",
}


def usable(draft: Draft) -> dict[str, Any]:
    text = render(draft, "made of a test")
    assert [str(problem) for problem in examined(text).problems] == [], text
    read: dict[str, Any] = yaml.safe_load(text)
    return read["connectors"]  # type: ignore[no-any-return]


def told(draft: Draft) -> str:
    return "\n".join(str(found) for found in draft.differences)


def one(given_: dict[str, Any], **changes: Any) -> tuple[dict[str, Any], str]:
    """The only contract of a connector with these changes, and the differences."""
    draft = import_exchange([[given_ | changes]])
    (contract,) = usable(draft).values()
    return contract, told(draft)


def test_two_connectors_of_a_partner_become_one_contract() -> None:
    draft = import_exchange([[INBOUND], [OUTBOUND]])
    assert usable(draft) == {
        "Fabrikam-inbound": {
            "domains": ["fabrikam.example", "*.fabrikam.example"],
            "inbound": {"tls": {"client_certificate": {"names": ["mail.fabrikam.example"]}}},
            "outbound": {
                "route": {"hosts": ["203.0.113.9:25", "mx1.fabrikam.example:25"]},
                "tls": {"level": "verified", "names": ["*.fabrikam.example", "fabrikam.example"]},
            },
        }
    }
    assert "compares the Subject" in told(draft)
    assert "one label" in told(draft)


@pytest.mark.parametrize(
    ("changes", "inbound", "difference"),
    [
        ({"RestrictDomainsToCertificate": False}, {"tls": "required", "identity": "none"}, "nobody else is kept out"),
        (
            {"RestrictDomainsToCertificate": False, "TlsSenderCertificateName": None, "RequireTls": False},
            {"tls": "optional", "identity": "none"},
            "here the header From claims",
        ),
        (
            {
                "RestrictDomainsToCertificate": False,
                "RestrictDomainsToIPAddresses": True,
                "SenderIPAddresses": ["192.0.2.0/24"],
            },
            {"tls": "required", "networks": ["192.0.2.0/24"]},
            "TLS 1.2",
        ),
        (
            {"RestrictDomainsToIPAddresses": True, "SenderIPAddresses": ["192.0.2.7"]},
            {"tls": {"client_certificate": {"names": ["mail.fabrikam.example"]}}, "networks": ["192.0.2.7/32"]},
            "must both hold",
        ),
        (
            {"EFSkipLastIP": True, "SenderIPAddresses": ["192.0.2.7"], "EFSkipIPs": ["198.51.100.0/24"]},
            {
                "tls": {"client_certificate": {"names": ["mail.fabrikam.example"]}},
                "trusted_hops": ["198.51.100.0/24", "192.0.2.7/32"],
            },
            "private addresses",
        ),
    ],
)
def test_what_a_partner_must_prove(changes: dict[str, Any], inbound: dict[str, Any], difference: str) -> None:
    contract, differences = one(INBOUND, **changes)
    assert contract["inbound"] == inbound
    assert difference in differences


@pytest.mark.parametrize(
    ("changes", "tls", "difference"),
    [
        ({"TlsSettings": None}, {"level": "opportunistic"}, ""),
        ({"TlsSettings": "EncryptionOnly"}, {"level": "encrypted"}, ""),
        ({"TlsSettings": "CertificateValidation"}, {"level": "verified"}, "takes any name"),
        ({"TlsSettings": 2}, {"level": "verified"}, "the number 2 is read as CertificateValidation"),
        ({"TlsSettings": "Odd"}, {"level": "encrypted"}, "Odd is not known"),
        ({"TlsSettings": "EncryptionOnly", "SmtpDaneMode": "None"}, {"level": "encrypted", "dane": "off"}, ""),
        ({"TlsSettings": "EncryptionOnly", "MtaStsMode": "None"}, {"level": "encrypted", "mta_sts": "off"}, ""),
        (
            {"TlsSettings": "EncryptionOnly", "SmtpDaneMode": "Mandatory", "SmartHosts": ["mx1.fabrikam.example"]},
            {"level": "encrypted", "dane": "mandatory"},
            "needs a validating resolver",
        ),
    ],
)
def test_what_mail_to_a_partner_is_promised(changes: dict[str, Any], tls: dict[str, Any], difference: str) -> None:
    contract, differences = one(OUTBOUND, **changes)
    assert contract["outbound"]["tls"] == tls
    assert difference in differences


@pytest.mark.parametrize("first", ["certificate", "address"])
def test_a_partner_known_by_certificate_or_by_address_has_one_contract(first: str) -> None:
    """Exchange advises two connectors where either is to be enough."""
    address = INBOUND | {
        "Name": "By address",
        "RestrictDomainsToCertificate": False,
        "TlsSenderCertificateName": None,
        "RestrictDomainsToIPAddresses": True,
        "SenderIPAddresses": ["192.0.2.0/28"],
    }
    draft = import_exchange([[INBOUND, address] if first == "certificate" else [address, INBOUND]])
    (contract,) = usable(draft).values()
    assert contract["inbound"] == {
        "tls": {"client_certificate": {"names": ["mail.fabrikam.example"]}},
        "networks": ["192.0.2.0/28"],
        "combine": "any",
    }
    assert "the certificate or the address is enough" in told(draft)
    again = import_exchange([[INBOUND, INBOUND | {"Name": "twice"}]])
    assert "has an inbound already: not carried over" in told(again)
    usable(again)


def test_our_own_servers_relay_once_they_have_proved_it() -> None:
    ours = {**INBOUND, "ConnectorType": "OnPremises", "SenderDomains": ["smtp:*;1"], "SenderIPAddresses": ["192.0.2.7"]}
    contract, differences = one(ours, CloudServicesMailEnabled=True)
    assert contract["relay"] is True
    assert contract["inbound"]["combine"] == "any"
    assert "travel as they are" in differences
    nobody = import_exchange([ours | {"TlsSenderCertificateName": None, "SenderIPAddresses": None}])
    assert "prove our own servers: not carried over" in told(nobody)
    assert usable_or_none(nobody) == {}


def usable_or_none(draft: Draft) -> dict[str, Any]:
    return usable(draft) if draft.connectors else {}


def test_everyone_is_default_and_a_restricting_connector_claims_first() -> None:
    loose = INBOUND | {
        "Name": "loose",
        "RestrictDomainsToCertificate": False,
        "SenderDomains": ["fabrikam.example", "x.example"],
    }
    everyone = OUTBOUND | {"RecipientDomains": ["*"], "UseMXRecord": True, "SmartHosts": []}
    draft = import_exchange([[loose, INBOUND, everyone]])
    found = usable(draft)
    assert found["Fabrikam-inbound"]["domains"] == ["fabrikam.example", "*.fabrikam.example"]
    assert found["loose"]["domains"] == ["x.example"]
    assert "route" not in found["default"]["outbound"]
    assert "already claimed by Fabrikam-inbound" in told(draft)


@pytest.mark.parametrize("change", [{"Enabled": False}, {"TestMode": True}, {"IsTransportRuleScoped": True}])
def test_what_is_not_in_force_is_not_carried_over(change: dict[str, Any]) -> None:
    draft = import_exchange([OUTBOUND | change])
    assert draft.connectors == {}
    assert "not carried over" in told(draft)


ODD = st.sampled_from(
    [None, True, False, "", "*", "x", "é", "smtp:*.a.example;1", "a.example", 3, [], ["a b"], {"Domain": "x"}]
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from([*INBOUND, *OUTBOUND, "EFSkipIPs"]), ODD, max_size=8), max_size=4))
def test_whatever_stands_there_what_comes_out_can_be_used(connectors: list[dict[str, Any]]) -> None:
    usable_or_none(import_exchange([connectors]))


def weaker(given_: dict[str, Any], **changes: Any) -> list[str]:
    return [str(found) for found in import_exchange([given_ | changes]).differences if found.weaker]


@pytest.mark.parametrize(
    ("written", "names", "issuer"),
    [
        ("CN=mail.fabrikam.example, OU=IT, O=Fabrikam, C=DE", ["mail.fabrikam.example"], False),
        (
            "<I>CN=Some CA, O=CA Inc<S>CN=*.fabrikam.example, O=Fabrikam",
            ["*.fabrikam.example", "fabrikam.example"],
            True,
        ),
        ("O=Fabrikam; CN=mail.fabrikam.example", ["mail.fabrikam.example"], False),
        ("O=Fabrikam, C=DE", ["nobody.invalid"], False),
        ("<I>CN=Some CA", ["nobody.invalid"], False),
        ("not a name", ["nobody.invalid"], False),
        (None, ["nobody.invalid"], False),
    ],
)
def test_a_demanded_certificate_stays_demanded_however_it_is_named(
    written: str | None, names: list[str], issuer: bool
) -> None:
    contract, _ = one(INBOUND, TlsSenderCertificateName=written)
    assert contract["inbound"] == {"tls": {"client_certificate": {"names": names}}}
    assert bool(weaker(INBOUND, TlsSenderCertificateName=written)) is issuer


def test_a_demanded_address_stays_demanded() -> None:
    contract, differences = one(
        INBOUND, RestrictDomainsToCertificate=False, RestrictDomainsToIPAddresses=True, SenderIPAddresses=["nonsense"]
    )
    assert contract["inbound"]["networks"] == ["192.0.2.0/32"]
    assert "identity" not in contract["inbound"]
    assert "none is let in" in differences


def test_hosts_that_cannot_be_read_do_not_become_the_mx() -> None:
    contract, differences = one(OUTBOUND, SmartHosts=["not a host"])
    assert contract["outbound"]["route"] == {"hosts": ["nobody.invalid:25"]}
    assert "mail waits" in differences


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "revocation lists"),
        ({"TlsSettings": "Odd"}, "Odd is not known"),
        ({"TlsDomain": "not a name"}, "no name could be read"),
        ({"IsTransportRuleScoped": True}, "mail-flow rules"),
        ({"TlsSettings": "EncryptionOnly", "SmtpDaneMode": "Odd"}, "odd is not known"),
    ],
)
def test_what_is_weaker_is_marked(changes: dict[str, Any], words: str) -> None:
    assert words in "\n".join(weaker(OUTBOUND, **changes))


def test_a_second_connector_that_demands_more_is_not_dropped_in_silence() -> None:
    loose = OUTBOUND | {"TlsSettings": "EncryptionOnly"}
    found = [str(one) for one in import_exchange([[loose, OUTBOUND]]).differences if one.weaker]
    assert any("demands more" in text for text in found)
    assert weaker(loose) == []
