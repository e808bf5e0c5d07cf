"""The `directory` object: what is read of it, and every problem at its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mta.adapters.pki import Authority
from mta.config.directory.values import LdapPlace, fetch_host, ldap_filter, ldap_url
from mta.config.values import ValueFault
from mta.contract.directory import CertSource, Directory, FolderSource, HarvestedSource, LdapSource, SmimeaSource
from mta.contract.watch import stamp
from tests.support.people import der, pem
from tests.support.pki import crl
from tests.unit.config.support import SERVER, at, built, examined, lines

SECURE = "server: {hostname: mx.contoso.example, dns: {trust_ad: true}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with recipients/, an anchor in ca.pem and in anchors/, a list, and certificates of people."""
    ca = Authority("Anchor", not_before=at(-100), not_after=at(1000))
    other = Authority("Other Anchor", not_before=at(-100), not_after=at(1000))
    ended = Authority("Ended Anchor", not_before=at(-100), not_after=at(-1))
    (tmp_path / "recipients").mkdir()
    (tmp_path / "anchors").mkdir()
    ca.write(tmp_path / "ca.pem")
    ended.write(tmp_path / "ended.pem")
    ca.write(tmp_path / "anchors" / "one.pem")
    (tmp_path / "anchors" / "two.der").write_bytes(other.der)
    (tmp_path / "anchors" / ".hidden").write_text("no certificate")
    (tmp_path / "ca.crl").write_bytes(crl(ca))
    (tmp_path / "people.pem").write_bytes(pem(der(), der(emails=["alice@fabrikam.example"])))
    (tmp_path / "gateway.pem").write_bytes(pem(der(emails=[], dns_names=["fabrikam.example"]), ca.der))
    (tmp_path / "secret").write_text("hush\n")
    (tmp_path / "secret").chmod(0o600)
    return tmp_path


def found(text: str, folder: Path | str = "", server: str = SERVER) -> list[str]:
    return lines(examined(f"{server}directory: {text}", folder))


def warned(text: str, folder: Path | str = "", server: str = SERVER) -> list[str]:
    told = examined(f"{server}directory: {text}", folder)
    assert told.problems == ()
    return [warning.message for warning in told.warnings]


def test_nothing_written_is_no_directory() -> None:
    assert built(SERVER).directory == Directory()
    assert built(SERVER).directory.is_empty


def test_everything_written(folder: Path) -> None:
    text = f"""
    {SECURE.strip()}
    directory:
      sources:
        - {{type: folder, path: recipients, trust: anchored}}
        - type: ldap
          url: ldap://ldap.contoso.example:3890
          base: "ou=people,dc=contoso"
          user: "cn=mta"
          password_file: secret
          ca: ca.pem
          addresses: [mail]
          certificates: [userCertificate]
          filter: (objectClass=person)
          domains: [fabrikam.example, "*.fabrikam.example"]
          timeout: 3
        - {{type: smimea}}
        - {{type: cert}}
        - {{type: harvested, approve: automatic}}
      trust: {{anchors: anchors, intermediates: ca.pem, revocation: hard, fetch: ["*.pki.example", "[::1]:80"],
               crls: ca.crl, min_rsa_bits: 3072, require_usage: true}}
      cache: {{found: 2h, missing: 1m, entries: 5}}
      timeout: 7s
    """
    known = built(text, folder).directory
    first, ldap, *rest = known.sources
    assert first == FolderSource(str(folder / "recipients"), "anchored")
    assert isinstance(ldap, LdapSource)
    assert (ldap.host, ldap.port, ldap.tls, ldap.timeout) == ("ldap.contoso.example", 3890, "starttls", 3.0)
    assert (ldap.user, ldap.password, ldap.base) == ("cn=mta", "hush", "ou=people,dc=contoso")
    assert ldap.ca is not None
    assert "hush" not in repr(ldap)
    assert rest == [SmimeaSource(), CertSource(), HarvestedSource("automatic")]
    trust = known.trust
    assert trust.anchors is not None
    assert (len(trust.anchors.certificates), len(trust.intermediates), len(trust.lists)) == (2, 1, 1)
    assert (trust.revocation, trust.fetch, trust.fetch_public) == ("hard", ("*.pki.example", "[::1]:80"), False)
    assert (trust.min_rsa_bits, trust.require_usage) == (3072, True)
    assert (known.keep_found, known.keep_missing, known.keep_entries, known.timeout) == (7200.0, 60.0, 5, 7.0)


def test_every_file_of_a_bundle_is_watched(folder: Path) -> None:
    text = f"{SERVER}directory: {{sources: [{{type: folder, path: recipients}}], trust: {{anchors: anchors}}}}"
    stamps = built(text, folder).files
    for name in ("anchors", "anchors/one.pem", "anchors/two.der"):
        assert stamps[str(folder / name)] == stamp(str(folder / name))


PROBLEMS = [
    (
        "{sources: [{type: folde, path: x}]}",
        ["2:23: directory.sources[0]: folde is no type of source (did you mean folder?)"],
    ),
    (
        "{sources: [{path: x}]}",
        ["2:23: directory.sources[0]: this source has no type (known types: folder, ldap, smimea, cert, harvested)"],
    ),
    (
        "{sources: [7]}",
        ["2:23: directory.sources[0]: expected an object, found 7 (write it like {type: folder, path: ...})"],
    ),
    ("{sources: [{type: folder}]}", ["2:23: directory.sources[0].path: this key is required"]),
    (
        "{sources: [{type: smimea, path: x}]}",
        ["2:38: directory.sources[0].path: unknown key (it belongs to another type)"],
    ),
    ("{trust: {fetch: pub}}", ["2:28: directory.trust.fetch: expected public, found pub (did you mean public?)"]),
    ("{trust: {revocation: medium}}", ["2:33: directory.trust.revocation: expected soft or hard or off, found medium"]),
    ("{trust: {min_rsa_bits: 512}}", ["2:35: directory.trust.min_rsa_bits: expected a number of bits from 1024"]),
    ("{cache: {entries: 0}}", ["2:30: directory.cache.entries: cannot be"]),
]


@pytest.mark.parametrize(("text", "problems"), PROBLEMS)
def test_what_the_schema_refuses(text: str, problems: list[str]) -> None:
    told = found(text)
    assert len(told) == len(problems)
    assert all(one.startswith(wanted) for one, wanted in zip(told, problems, strict=True)), told


CONTRADICTIONS = [
    ("{sources: [{type: folder, path: nowhere}]}", "path: ", "No such file or directory"),
    ("{sources: [{type: folder, path: people.pem}]}", "path: ", "Not a directory"),
    ("{sources: [{type: folder, path: recipients}, {type: folder, path: ./recipients/../recipients}]}", "", ""),
    ("{sources: [{type: folder, path: recipients}, {type: folder, path: recipients}]}", "[1]: ", "listed twice"),
    ("{sources: [{type: smimea}, {type: smimea}]}", "[1]: ", "listed twice"),
    ('{sources: [{type: ldap, url: "ldaps://x", base: "dc=x"}]}', "[0]: ", "without anchors"),
    (
        '{sources: [{type: ldap, url: "ldaps://x", base: "dc=x", trust: manual, tls: starttls}]}',
        "tls: ",
        "from the first",
    ),
    ('{sources: [{type: ldap, url: "ldap://::1", base: "dc=x"}]}', "url: ", "IPv6"),
    (
        '{sources: [{type: ldap, url: "ldap://127.0.0.1", base: "dc=x", tls: none, user: a, password_file: secret}],'
        " trust: {anchors: ca.pem}}",
        "tls: ",
        "in the clear",
    ),
    ('{sources: [{type: ldap, url: "ldap://x", base: "dc=x", tls: none, trust: manual}]}', "trust: ", "without TLS"),
    (
        '{sources: [{type: ldap, url: "ldaps://x", base: "dc=x", user: "cn=a"}], trust: {anchors: ca.pem}}',
        "user: ",
        "both",
    ),
    (
        '{sources: [{type: ldap, url: "ldaps://x", base: "dc=x", addresses: ["a b"]}], trust: {anchors: ca.pem}}',
        "addresses[0]: ",
        "no attribute",
    ),
    ("{trust: {anchors: people.key}}", "anchors: ", "No such file"),
    ("{trust: {anchors: secret}}", "anchors: ", "no certificate"),
    ("{trust: {anchors: ended.pem}}", "anchors: ", "no CA"),
    ("{trust: {anchors: recipients}}", "anchors: ", "nothing of this kind"),
    ("{trust: {anchors: ca.pem, crls: ca.pem}}", "crls: ", "no revocation list"),
]


@pytest.mark.parametrize(("text", "place", "words"), CONTRADICTIONS)
def test_what_contradicts_itself(text: str, place: str, words: str, folder: Path) -> None:
    told = found(text, folder)
    if not words:
        assert told == []  # two spellings of a folder are let pass
        return
    assert len(told) == 1, told
    assert place in told[0]
    fragments = {"both": "belong together", "no attribute": "is not the name of an attribute"}
    assert fragments.get(words, words) in told[0]


def test_what_works_and_is_hardly_meant(folder: Path) -> None:
    assert warned("{sources: [{type: smimea}]}") == ["no answer is ever secure: smimea finds nothing"]
    assert warned("{sources: [{type: smimea}]}", server=SECURE) == []
    assert warned("{sources: [{type: harvested}]}") == [
        "without anchors no signature is trusted, and nothing is ever learned"
    ]
    assert warned("{trust: {anchors: ca.pem, fetch: []}}", folder) == [
        "revocation: soft without a host to fetch from and without crls: nothing is ever known"
    ]
    assert warned("{trust: {anchors: ca.pem, fetch: [], crls: ca.crl}}", folder) == []
    assert warned("{trust: {anchors: ca.pem, revocation: off, crls: ca.crl}}", folder) == [
        "crls is without effect: revocation is off"
    ]
    clear = '{sources: [{type: ldap, url: "ldap://ldap.x.example", base: "dc=x", tls: none}], trust: {anchors: ca.pem}}'
    assert warned(clear, folder) == ["without TLS whoever is on the way can hide certificates"]
    assert warned(clear.replace("ldap.x.example", "127.0.0.1"), folder) == []


def test_certificates_of_a_connector(folder: Path) -> None:
    text = f"""
    {SERVER.strip()}
    connectors:
      fabrikam:
        domains: [fabrikam.example, "*.fabrikam.example"]
        inbound: {{identity: none}}
        outbound: {{smime: {{certificates: [people.pem], domain_certificate: gateway.pem}}}}
    """
    static = built(text, folder).directory.static
    assert [file for _, file in static.addressed] == [str(folder / "people.pem")] * 2
    assert sorted(static.domains) == ["*.fabrikam.example", "fabrikam.example"]
    assert len(static.domains["fabrikam.example"]) == 1  # the CA beside it is no partner's
    assert not built(text, folder).directory.is_empty


def test_certificates_of_a_connector_that_end(folder: Path) -> None:
    ended = der(begins=at(-9), ends=at(-1), name="Ended")
    soon = der(begins=at(-9), ends=at(3.5), name="Soon")
    (folder / "people.pem").write_bytes(pem(ended, soon, der(begins=at(-9), ends=at(99))))
    text = f"""
    {SERVER.strip()}
    connectors:
      fabrikam:
        domains: [fabrikam.example]
        inbound: {{identity: none}}
        outbound: {{smime: {{certificates: [people.pem]}}}}
    """
    told = [warning.message for warning in examined(text, folder).warnings]
    assert told == [
        f"CN=Ended in {folder}/people.pem expired on 2026-05-31: it is not used",
        f"CN=Soon in {folder}/people.pem expires on 2026-06-04, in 3 days",
    ]


def test_certificates_of_a_connector_that_are_for_nobody(folder: Path) -> None:
    (folder / "nameless.pem").write_bytes(pem(der(emails=[])))
    text = f"""
    {SERVER.strip()}
    connectors:
      default:
        outbound: {{smime: {{certificates: [nameless.pem], domain_certificate: gateway.pem}}}}
    """
    told = lines(examined(text, folder))
    assert ["no certificate in it names an address" in told[0], "has no domains" in told[1]] == [True, True]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("ldap://a.example", LdapPlace(False, "a.example", 389)),
        ("LDAPS://A.example/", LdapPlace(True, "a.example", 636)),
        ("ldaps://[2001:db8::1]:6360", LdapPlace(True, "2001:db8::1", 6360)),
    ],
)
def test_ldap_urls(text: str, place: LdapPlace) -> None:
    assert ldap_url(text) == place


@pytest.mark.parametrize(
    "text", ["http://a.example", "ldap://", "ldap://a.example/dc=x", "ldap://a.example?x", 7, "ldap://u@h"]
)
def test_what_is_no_ldap_url(text: object) -> None:
    with pytest.raises(ValueFault):
        ldap_url(text)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("CRL.example", "crl.example"),
        ("crl.example:8080", "crl.example:8080"),
        ("*.crl.example", "*.crl.example"),
        ("*.crl.example:81", "*.crl.example:81"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:8080", "[2001:db8::1]:8080"),
    ],
)
def test_hosts_to_fetch_from(text: str, host: str) -> None:
    assert fetch_host(text) == host


@pytest.mark.parametrize("text", ["http://crl.example/", "a b", "*", "*.*.x", "crl.example:99999", True])
def test_what_is_no_host(text: object) -> None:
    with pytest.raises(ValueFault):
        fetch_host(text)


@pytest.mark.parametrize(
    ("text", "good"), [("(a=b)", True), ("(&(a=b)(c=d))", True), ("a=b", False), ("(a=b))", False), ("()", False)]
)
def test_filters(text: str, good: bool) -> None:
    if good:
        assert ldap_filter(text) == text
    else:
        with pytest.raises(ValueFault):
            ldap_filter(text)
