"""`mta explain` on a real connectors.yaml with real certificates."""

import json

import pytest

from mta.adapters.pki import Authority
from mta.cli.explain import ExplainOptions, explain
from tests.support.dns_server import SERVFAIL, dns_server
from tests.support.irm import mail, rpmsg

YAML = """
server:
  hostname: mx.contoso.example
  postmaster: postmaster@contoso.example
  listen:
    - {address: "127.0.0.1:2525"}
domains:
  contoso.example:
    deliver_to: ["mail.contoso.example:25"]
    connector: internal
connectors:
  internal:
    relay: true
    inbound: {networks: [10.0.0.0/8]}
  fabrikam:
    contact: Jane Doe, +44 20 7946 0000
    reference: C-4711
    domains: [fabrikam.example, "*.fabrikam.example"]
    inbound:
      tls: {min_version: "1.2", client_certificate: {names: ["mail.fabrikam.example"], ca: ca.pem}}
    outbound:
      route: mx
      tls: {level: verified, names: ["*.fabrikam.example"], ca: ca.pem}
  default:
    inbound: {tls: optional}
    outbound: {route: mx, tls: {level: encrypted}}
"""
ALICE, BOB, EVE = "alice@contoso.example", "bob@fabrikam.example", "eve@tailspin.example"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("explain")
    authority = Authority("Fabrikam Root")
    authority.write(place / "ca.pem")
    authority.intermediate("Fabrikam Mail CA").issue(dns_names=["mail.fabrikam.example"]).write(place, "client")
    authority.issue_expired(dns_names=["mail.fabrikam.example"]).write(place, "expired")
    (place / "connectors.yaml").write_text(YAML)
    (place / "spoofed.eml").write_bytes(b"From: Bob <bob@fabrikam.example>\r\nSubject: hello\r\n\r\nText\r\n")
    (place / "rpmsg.eml").write_bytes(mail(("message.rpmsg", "application/x-microsoft-rpmsg-message", rpmsg())))
    (place / "refusing.yaml").write_text(YAML + "protection: {foreign: refuse}\n")
    (place / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return place


@pytest.fixture
def run(folder, capsys):
    def call(**options):
        for key in ("client_cert", "message"):
            if key in options:
                options[key] = str(folder / options[key])
        options = {"config": str(folder / "connectors.yaml"), "sender": EVE, "recipients": (ALICE,)} | options
        status = explain(ExplainOptions(**options))
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


@pytest.fixture
def document(run):
    def call(**options):
        status, out, err = run(json_output=True, **options)
        assert err == ""
        return status, json.loads(out)

    return call


def test_the_last_line_says_it_all_and_people_are_named_before(run):
    _, out, _ = run(sender=ALICE, recipients=(BOB,), client_ip="10.1.1.1")
    people, last = out.splitlines()[-2:]
    assert people == "fabrikam: contact Jane Doe, +44 20 7946 0000, reference C-4711"
    assert last.startswith("in short: bob@fabrikam.example by fabrikam, TLS verified, name *.fabrikam.example")


def test_the_last_line_of_a_refusal_is_the_refusal(run):
    _, out, _ = run(sender=BOB)
    assert out.splitlines()[-1].startswith("in short: refuse: 530 5.7.0 Must issue")


def test_a_partner_with_its_certificate_is_accepted(document):
    status, found = document(sender=BOB, client_cert="client.pem")
    assert status == 0
    assert (found["inbound"]["connector"], found["inbound"]["decision"]) == ("fabrikam", "accept")
    assert found["recipients"][0]["route"] == {"hosts": ["mail.contoso.example:25"]}


def test_a_partner_in_clear_is_refused(document):
    status, found = document(sender=BOB)
    assert status == 1
    assert found["inbound"]["reply"] == "530 5.7.0 Must issue a STARTTLS command first"


def test_an_expired_certificate_is_refused_for_that(document):
    status, found = document(sender=BOB, client_cert="expired.pem")
    assert status == 1
    assert [reason.split(":")[0] for reason in found["inbound"]["reasons"]] == ["certificate-expired"]


def test_a_stated_version_is_judged(document):
    status, found = document(sender=BOB, client_cert="client.pem", tls="1.1")
    assert status == 1
    assert found["inbound"]["reasons"][0].startswith("tls-version")


def test_the_version_may_be_written_as_openssl_writes_it(document):
    assert document(sender=BOB, client_cert="client.pem", tls="TLSv1.3")[0] == 0


def test_tls_without_a_certificate(document):
    status, found = document(sender=BOB, tls="1.3")
    assert status == 1
    assert found["inbound"]["reply"].startswith("550 5.7.1 fabrikam.example requires a client certificate")


def test_a_message_supplies_the_header_from(document):
    status, found = document(message="spoofed.eml")
    assert status == 1
    assert (found["inbound"]["connector"], found["inbound"]["decision"]) == ("fabrikam", "refuse")


def test_our_own_network_relays_to_the_partner_on_its_tls(document):
    status, found = document(sender=ALICE, recipients=(BOB, EVE), client_ip="10.1.2.3")
    assert status == 0
    bob, eve = found["recipients"]
    assert (bob["connector"], bob["route"], bob["tls"]["level"]) == ("fabrikam", "mx", "verified")
    assert bob["tls"]["names"] == ["*.fabrikam.example"]
    assert (eve["connector"], eve["tls"]["level"]) == ("default", "encrypted")


def test_an_ipv4_address_mapped_into_ipv6_is_ipv4(document):
    assert document(sender=ALICE, recipients=(BOB,), client_ip="::ffff:10.1.2.3")[0] == 0


@pytest.mark.parametrize("sender", ["<>", ""])
def test_the_null_sender(document, sender):
    status, found = document(sender=sender)
    assert status == 0
    assert found["inbound"]["reasons"] == ["no-claim: null sender"]


def test_addresses_may_stand_in_brackets_and_postmaster_alone(document):
    status, found = document(sender=f"<{EVE}>", recipients=("<postmaster>", f"<{ALICE}>"))
    assert status == 0
    assert [each["address"] for each in found["recipients"]] == ["postmaster", ALICE]


def test_without_json_people_read_it(run):
    status, out, _ = run(sender=BOB, recipients=(ALICE, BOB))
    assert status == 1
    lines = out.splitlines()
    assert lines[0] == "inbound: refuse by connector fabrikam (enforce)"
    assert "  reply       530 5.7.0 Must issue a STARTTLS command first" in lines
    assert "  not internal: network: 192.0.2.1 is in none of 10.0.0.0/8" in lines
    assert f"to {BOB}: refuse" in lines
    assert "  route       by MX" in lines
    assert any(line.startswith("  tls         verified, name *.fabrikam.example, of ") for line in lines)


MISTAKES = [
    ("no recipient", {"recipients": ()}, "--to"),
    ("no address", {"recipients": ("alice",)}, "--to alice: "),
    ("no sender's address", {"sender": "alice@"}, "--from alice@: "),
    ("no IP address", {"client_ip": "10.1.2"}, "--client-ip 10.1.2: expected an IPv4 or IPv6 address"),
    ("no TLS version", {"tls": "1.4"}, "--tls 1.4: expected one of 1.0, 1.1, 1.2, 1.3"),
    ("no such certificate", {"client_cert": "missing.pem"}, "No such file or directory"),
    ("no PEM", {"client_cert": "connectors.yaml"}, "holds no PEM certificate"),
    ("a broken certificate", {"client_cert": "broken.pem"}, "cannot be read"),
    ("no such message", {"message": "missing.eml"}, "No such file or directory"),
    ("no such configuration", {"config": "/nonexistent/connectors.yaml"}, "/nonexistent/connectors.yaml"),
    ("an escape sequence is shown harmlessly", {"sender": "\x1b[31m"}, r"--from \x1b[31m: "),
]


@pytest.mark.parametrize(("options", "told"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_a_mistake_is_told_in_one_line(run, options, told):
    status, out, err = run(**options)
    assert (status, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1
    assert "\x1b" not in err


ZONE = {
    ("tailspin.example", "MX"): ["10 mx1.tailspin.example.", "20 mx2.tailspin.example.", "30 mx3.tailspin.example."],
    ("mx1.tailspin.example", "A"): ["192.0.2.1"],
    ("mx2.tailspin.example", "A"): ["192.0.2.2"],
    ("mx3.tailspin.example", "A"): ["192.0.2.3"],
    ("_25._tcp.mx1.tailspin.example", "TLSA"): ["3 1 1 " + "ab" * 32],
    ("_25._tcp.mx2.tailspin.example", "TLSA"): SERVFAIL,
    ("_mta-sts.tailspin.example", "TXT"): ['"v=STSv1; id=1;"'],
    ("bogus.example", "MX"): SERVFAIL,
}


@pytest.fixture
def looked_ahead(tmp_path, run):
    with dns_server(ZONE, secure=True) as dns:
        config = tmp_path / "connectors.yaml"
        text = YAML.replace("ca.pem", "system").replace(
            "  listen:", f'  dns: {{nameservers: ["{dns.host}:{dns.port}"], trust_ad: true}}\n  listen:'
        )
        config.write_text(text)

        def call(**options):
            status, out, err = run(config=str(config), sender=ALICE, client_ip="10.0.0.1", dns=True, **options)
            assert (status, err) == (0, "")
            return out

        yield call


def test_with_dns_each_next_hop_is_told_with_what_is_published_about_it(looked_ahead):
    document = json.loads(looked_ahead(recipients=(EVE,), json_output=True))
    tls = document["recipients"][0]["tls"]
    assert (tls["dane"], tls["mta_sts"]) == ("opportunistic", "opportunistic")
    proven, unknown, plain = tls["hosts"]
    assert proven["requirement"] == "verified:dane=mx1.tailspin.example"
    assert proven["published"]["dane"]["records"] == ["3 1 1 abababababababab…"]
    assert unknown["requirement"] is None
    assert unknown["refused"].startswith("dane-unknown: mx2.tailspin.example:25: ")
    assert (plain["requirement"], plain["published"]["dane"]["state"]) == ("encrypted", "none")
    assert plain["published"]["mta_sts"]["problem"].startswith("sts-policy-fetch-error: ")


def test_the_same_in_words_and_as_the_message_wishes(looked_ahead, tmp_path):
    out = looked_ahead(recipients=(EVE, "x@bogus.example"))
    assert "host        mx1.tailspin.example:25: verified:dane=mx1.tailspin.example" in out
    assert "DANE usable at mx1.tailspin.example (MX secure): 3 1 1 abababababababab…" in out
    assert "MTA-STS unknown; sts-policy-fetch-error: " in out
    assert "hosts       dns: MX of bogus.example: " in out
    (tmp_path / "no.eml").write_bytes(b"From: alice@contoso.example\r\nTLS-Required: No\r\n\r\nText\r\n")
    out = looked_ahead(recipients=(EVE,), message=str(tmp_path / "no.eml"))
    assert "host        mx1.tailspin.example:25: encrypted" in out


def test_a_contract_in_audit_mode_is_not_told_as_none(folder, document):
    (folder / "audited.yaml").write_text(YAML.replace("domains: [fabrikam", "mode: audit\n    domains: [fabrikam"))
    status, found = document(config=str(folder / "audited.yaml"), sender=BOB)
    inbound = found["inbound"]
    assert (status, inbound["decision"], inbound["would"]) == (0, "accept", "refuse")
    told = "; ".join(inbound["reasons"])
    assert "no connector claims" not in told
    assert "fabrikam claims fabrikam.example, but is in audit mode" in told


def test_what_others_protect_is_told_with_what_its_licence_says(run, document, folder):
    _, told = document(message="rpmsg.eml", sender="carol@elsewhere.example")
    [part] = told["inbound"]["foreign"]
    assert (part["kind"], part["owner"]) == ("rpmsg", "carol@fabrikam.example")
    _, out, _ = run(message="rpmsg.eml", sender="carol@elsewhere.example")
    assert "licences at https://rms.fabrikam.example/_wmcs/licensing" in out
    status, told = document(message="rpmsg.eml", sender=EVE, config=str(folder / "refusing.yaml"))
    assert status == 1
    assert "foreign-protection" in str(told["inbound"]["reasons"])
