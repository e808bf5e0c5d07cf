"""Every problem of one file, at its line and column."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from mta.config.load import load
from mta.contract.inbound import Inbound, InboundTls
from mta.contract.limits import Limits
from mta.contract.outbound import Outbound
from mta.contract.values import HostPort, KeyPair
from mta.errors import ConfigurationError
from mta.model.tls import Pin, TlsLevel
from tests.unit.config.support import NOW, SERVER, built, examined, examined_file, lines, root

PIN = "cert-sha256:" + "ab" * 32
PARTNER = "domains: [p.example], inbound: {networks: [192.0.2.0/24]}"


def connectors(text: str) -> str:
    return f"{SERVER}connectors:\n  {text}\n"


SCHEMA = [
    ("server: {}", ["1:1: server.hostname: this key is required"]),
    ("domains: {}", ["1:1: server: this key is required"]),
    ("server: {hostname: a.example, hostnam: b}", ["1:31: server.hostnam: unknown key (did you mean hostname?)"]),
    (
        SERVER + "smime: {}",
        ["2:1: smime: unknown key (known here: server, domains, connectors, directory, protection)"],
    ),
    (
        "server: {hostname: a.example, workers: 0}",
        ["1:40: server.workers: expected auto or a number from 1 to 1024, found 0"],
    ),
    (
        "server: {hostname: a.example, dns: {trust_ad: yes}}",
        ["1:47: server.dns.trust_ad: expected true or false, found yes (write true or false)"],
    ),
    (
        "server: {hostname: a.example, user: no}",
        [
            "1:37: server.user: unquoted no is a boolean to many readers of YAML"
            ' (where text is meant, put it in quotes: "no")'
        ],
    ),
    (
        "server: {hostname: a.example, user: true}",
        ["1:37: server.user: expected text, found true (put it in quotes)"],
    ),
    (
        "server: {hostname: a.example, limits: {recipients: 022}}",
        [
            "1:52: server.limits.recipients: expected a whole number, found 022"
            " (YAML reads 022 in several ways: write a plain decimal number)"
        ],
    ),
    (
        "server: {hostname: a.example, limits: {lifetime: 1:30}}",
        [
            "1:50: server.limits.lifetime: 1:30 is not a duration"
            " (YAML reads 1:30 in several ways: write a plain decimal number)"
        ],
    ),
    (
        "server: {hostname: a.example, limits: {message_size: 0}}",
        ["1:54: server.limits.message_size: expected more than 0 (remove the key to have the default)"],
    ),
    (
        "server: {hostname: a.example, limits: {retry_min: 2h}}",
        ["1:51: server.limits.retry_min: retry_min (7200) is more than retry_max (4000)"],
    ),
    (
        "server: {hostname: a.example, listen: []}",
        ["1:31: server.listen: expected at least one entry"],
    ),
    (
        "server: {hostname: a.example, queue: {store: 'mysql:x'}}",
        [
            "1:46: server.queue.store: mysql:x is not a queue store "
            "(write it like sqlite:var/queue, or postgresql://mta@db.example/mta where machines share it)"
        ],
    ),
    (
        connectors("a: {domains: [no.example, off], inbound: {identity: none}}"),
        [
            "3:29: connectors.a.domains[1]: unquoted off is a boolean to many readers of YAML"
            ' (where text is meant, put it in quotes: "off")'
        ],
    ),
    (
        connectors("on: {domains: [a.example], inbound: {identity: none}}"),
        [
            "3:3: connectors.on: unquoted on is a boolean to many readers of YAML"
            ' (where text is meant, put it in quotes: "on")'
        ],
    ),
    (
        connectors('"a b": {domains: [a.example]}'),
        [
            "3:3: connectors.a b: this cannot be the name of a connector"
            " (use letters, digits, - _ + and dots, at most 100)"
        ],
    ),
    (
        connectors("notice: {domains: [a.example]}"),
        [
            "3:3: connectors.notice: notice is what the mail is called that this relay writes itself"
            " (choose another name)"
        ],
    ),
    (
        connectors("a: {mode: audit1}"),
        ["3:13: connectors.a.mode: expected enforce or audit, found audit1 (did you mean audit?)"],
    ),
    (connectors("a: [x]"), ["3:3: connectors.a: expected an object, found a list (write keys below it, or {})"]),
    (
        connectors("a: {domains: [a.example], inbound: {networks: [10.0.0.1/8]}}"),
        ["3:50: connectors.a.inbound.networks[0]: 10.0.0.1/8 has host bits set (the network is 10.0.0.0/8)"],
    ),
    (
        connectors(f"a: {{{PARTNER}, outbound: {{tls: {{min_version: 1.1}}}}}}"),
        ['3:96: connectors.a.outbound.tls.min_version: expected "1.2" or "1.3", found 1.1 (older TLS is not spoken)'],
    ),
    (
        connectors(f"a: {{{PARTNER}, outbound: {{dane: auto}}}}"),
        [
            "3:77: connectors.a.outbound.dane: unknown key"
            " (known here: route, tls, client_certificate, auth, port, dkim, arc, smime, protect)"
        ],
    ),
]


@pytest.mark.parametrize(("text", "problems"), SCHEMA)
def test_what_the_schema_does_not_know_is_told_at_its_place(text: str, problems: list[str]):
    assert lines(examined(text)) == problems


LOOP = "this is our own listening address: mail would go round in a loop (name the host that takes the mail after us)"
SEMANTICS = [
    (
        connectors(
            "a: {domains: [p.example], inbound: {identity: none}}\n"
            "  b: {domains: [P.example], inbound: {identity: none}}"
        ),
        [
            "4:17: connectors.b.domains[0]: p.example is already claimed by a (line 3)"
            " (one connector can claim a domain)"
        ],
    ),
    (
        connectors("a: {}"),
        [
            "3:3: connectors.a: nothing ever leads to this connector"
            " (give it domains, networks or a client certificate, or name it in a domain of ours)"
        ],
    ),
    (
        "domains: {own.example: {deliver_to: [m.example], connector: internl}}\n"
        + connectors("internal: {domains: [x.example], inbound: {identity: none}}"),
        ["1:61: domains.own.example.connector: there is no connector internl (did you mean internal?)"],
    ),
    (
        connectors("a: {domains: [p.example], inbound: {tls: required}}"),
        [
            "3:29: connectors.a.inbound: nothing here proves who sends for these domains"
            " (write networks or tls.client_certificate, or identity: none if that is meant)"
        ],
    ),
    (
        connectors("a: {domains: [p.example], inbound: {networks: [192.0.2.1], identity: none}}"),
        [
            "3:72: connectors.a.inbound.identity: identity: none stands beside networks or a client certificate,"
            " which prove it (remove one of the two)"
        ],
    ),
    (
        connectors("a: {domains: [p.example], relay: true}"),
        [
            "3:29: connectors.a.relay: an open relay: nothing proves who may relay here"
            " (write inbound with networks or a client certificate)"
        ],
    ),
    (
        connectors("default: {relay: true, inbound: {tls: required}}"),
        [
            "3:13: connectors.default.relay: an open relay: nothing proves who may relay here"
            " (write inbound with networks or a client certificate)"
        ],
    ),
    (
        connectors("a: {relay: true, inbound: {networks: ['0.0.0.0/0']}}"),
        ["3:41: connectors.a.inbound.networks[0]: an open relay: 0.0.0.0/0 is everyone (list your own networks)"],
    ),
    (
        connectors("a: {relay: true, inbound: {tls: {client_certificate: {ca: system}}}}"),
        [
            "3:14: connectors.a.relay: an open relay: everyone can get a certificate of a public CA"
            " (write names or pins beside `ca: system`)"
        ],
    ),
    (
        connectors("a: {domains: [p.example], inbound: {tls: {client_certificate: {}}}}"),
        [
            "3:45: connectors.a.inbound.tls.client_certificate: any certificate at all would do"
            " (write names, ca or pins)"
        ],
    ),
    (
        connectors("default: {domains: [p.example]}"),
        ["3:13: connectors.default.domains: default is everyone else: it has no domains (make a connector for them)"],
    ),
    (
        connectors(f"a: {{{PARTNER}, outbound: {{tls: {{level: encrypted, names: [m.example]}}}}}}"),
        [
            "3:90: connectors.a.outbound.tls.level: encrypted is less than `names` beside it demands"
            " (write verified, or remove level or names)"
        ],
    ),
    (
        connectors(f"a: {{{PARTNER}, outbound: {{tls: {{level: verified, pins: ['{PIN}']}}}}}}"),
        [
            "3:90: connectors.a.outbound.tls.level: verified is less than `pins` beside it demands"
            " (write pinned, or remove level or pins)"
        ],
    ),
    (
        connectors(f"a: {{{PARTNER}, outbound: {{tls: {{level: pinned}}}}}}"),
        ["3:83: connectors.a.outbound.tls.level: pinned needs pins (write pins: [spki-sha256:...])"],
    ),
    (
        connectors(f"a: {{{PARTNER}, outbound: {{tls: {{level: none, dane: opportunistic, mta_sts: off}}}}}}"),
        [
            "3:102: connectors.a.outbound.tls.dane: at level none there is no TLS to be proven (raise the level)",
        ],
    ),
    (
        connectors(f"a: {{{PARTNER}, outbound: {{tls: {{dane: mandatory}}}}}}"),
        [
            "3:89: connectors.a.outbound.tls.dane: without server.dns.trust_ad no TLSA record counts: all mail would"
            " wait (write server: {dns: {nameservers: [...], trust_ad: true}} with a validating resolver)"
        ],
    ),
    (
        connectors(f"a: {{{PARTNER}, outbound: {{route: {{hosts: [m.example]}}, tls: {{mta_sts: mandatory}}}}}}"),
        [
            "3:121: connectors.a.outbound.tls.mta_sts: fixed hosts have no MTA-STS policy: it is about the hosts that"
            " MX records name (write route: mx, or remove it)"
        ],
    ),
    (
        "server: {hostname: mx.contoso.example, dns: {trust_ad: true}}\n"
        f"connectors:\n  a: {{{PARTNER}, outbound: {{route: {{hosts: ['192.0.2.1']}}, tls: {{dane: mandatory}}}}}}",
        [
            "3:120: connectors.a.outbound.tls.dane: an IP address has no TLSA records: this host would never be used"
            " (name the hosts of the route)"
        ],
    ),
    (
        "domains: {own.example: {deliver_to: [m.example]}}\n"
        + connectors("a: {domains: [own.example], inbound: {identity: none}}"),
        ["4:17: connectors.a.domains[0]: own.example is one of our own domains (line 1) (a domain is ours or theirs)"],
    ),
    (
        "domains: {own.example: {deliver_to: ['127.0.0.1:2525']}}\n" + SERVER,
        [f"1:38: domains.own.example.deliver_to[0]: {LOOP}"],
    ),
    (
        "domains: {own.example: {deliver_to: [m.example, 'mx.contoso.example:25']}}\n"
        "server: {hostname: mx.contoso.example, listen: [{address: '0.0.0.0:25'}]}",
        [f"1:49: domains.own.example.deliver_to[1]: {LOOP}"],
    ),
    (
        connectors(f"a: {{{PARTNER}, outbound: {{route: {{hosts: ['localhost:2525']}}}}}}"),
        [f"3:93: connectors.a.outbound.route.hosts[0]: {LOOP}"],
    ),
    (
        "domains:\n  own.example: {deliver_to: [m.example]}\n  OWN.example: {deliver_to: [m.example]}\n" + SERVER,
        ["3:3: domains.OWN.example: own.example is given twice (first in line 2)"],
    ),
    (
        "server: {hostname: a.example, listen: [{address: '[::1]:25'}, {address: '[0::1]:25'}]}",
        ["1:73: server.listen[1].address: [::1]:25 is listed twice (first in line 1)"],
    ),
    (
        "server: {hostname: a.example, listen: [{address: '127.0.0.1:465', tls: implicit}]}",
        ["1:72: server.listen[0].tls: implicit TLS needs a certificate (write server.certificate)"],
    ),
]


@pytest.mark.parametrize(("text", "problems"), SEMANTICS)
def test_contradictions_are_told_at_their_place(text: str, problems: list[str]):
    assert lines(examined(text)) == problems


def test_a_password_needs_a_fixed_host_that_proves_itself(tmp_path: Path):
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "password").chmod(0o600)
    auth = "auth: {user: u, password_file: password}"
    found = lines(examined(connectors(f"a: {{{PARTNER}, outbound: {{{auth}}}}}"), tmp_path))
    place = "3:77: connectors.a.outbound.auth: "
    assert found == [
        place
        + "a password or token is for fixed hosts, not for whatever MX records name (write route: {hosts: [...]})",
        place + "at level encrypted the password or token could go to anyone (write tls: {level: verified})",
    ]
    good = f"a: {{{PARTNER}, outbound: {{{auth}, route: {{hosts: [m.example]}}, tls: {{level: verified}}}}}}"
    outbound = built(connectors(good), tmp_path).connectors["a"].outbound
    assert outbound.auth is not None
    assert (outbound.auth.user, outbound.auth.password) == ("u", "secret")
    assert "secret" not in repr(outbound)


def test_a_network_of_everyone_is_no_proof_where_it_alone_can_do(tmp_path: Path):
    inbound = "networks: ['::/0'], tls: {client_certificate: {names: [m.example]}}"
    assert built(connectors(f"a: {{relay: true, inbound: {{{inbound}}}}}")).connectors["a"].relay
    [line] = lines(examined(connectors(f"a: {{relay: true, inbound: {{{inbound}, combine: any}}}}")))
    assert "an open relay: ::/0 is everyone" in line


def test_listeners_that_cannot_be_read_are_not_taken_for_the_default_ones():
    listen = 'listen: [{address: "192.0.2.1:25"}, {address: "localhost:26"}]'
    text = f"server: {{hostname: mx.contoso.example, {listen}}}\n"
    text += 'domains: {contoso.example: {deliver_to: ["127.0.0.1:2525"]}}\n'
    [only] = lines(examined(text))
    assert "server.listen[1].address: expected an IP address" in only


def test_a_listener_on_loopback_is_not_what_our_name_leads_to():
    text = "domains: {own.example: {deliver_to: ['mx.contoso.example:2525']}}\n" + SERVER
    assert built(text).domains["own.example"].deliver_to == (HostPort("mx.contoso.example", 2525),)


def test_a_client_certificate_without_tls_is_a_contradiction(tmp_path: Path):
    root().issue(dns_names=["x.example"], not_before=NOW).write(tmp_path, "x")
    text = connectors(
        f"a: {{{PARTNER}, outbound: {{tls: {{level: none}}, client_certificate: {{chain: x.pem, key: x.key}}}}}}"
    )
    assert lines(examined(text, tmp_path)) == [
        "3:90: connectors.a.outbound.tls.level: without TLS the client certificate can never be shown"
        " (raise the level or remove client_certificate)"
    ]


WARNINGS = [
    (
        connectors("a: {domains: [p.example, P.example], inbound: {networks: [192.0.2.1]}}"),
        "3:28: connectors.a.domains[1]: p.example is listed twice (remove one)",
    ),
    (
        connectors(f"a: {{mode: audit, {PARTNER}, outbound: {{}}}}"),
        "3:79: connectors.a.outbound: in audit mode mail goes by this route",
    ),
    (
        connectors("a: {domains: [p.example], inbound: {networks: [192.0.2.1], combine: any}}"),
        "3:71: connectors.a.inbound.combine: combine: any has nothing to choose from",
    ),
    (
        connectors("a: {domains: [p.example], inbound: {tls: required, identity: none}}"),
        "3:44: connectors.a.inbound.tls: without server.certificate no TLS is offered",
    ),
    (
        "server: {hostname: a.example, listen: [{address: '127.0.0.1:25', proxy: ['::/0']}]}",
        "1:74: server.listen[0].proxy[0]: everyone may claim any client address here",
    ),
    (
        connectors("default: {relay: true, inbound: {networks: [192.0.2.1]}}"),
        "3:20: connectors.default.relay: default is whoever has proven nothing",
    ),
    (
        connectors(f"a: {{{PARTNER}, outbound: {{route: {{hosts: [m.example]}}, port: 26}}}}"),
        "3:112: connectors.a.outbound.port: port is for hosts found by MX",
    ),
]


@pytest.mark.parametrize(("text", "warning"), WARNINGS)
def test_what_is_hardly_meant_is_a_warning(text: str, warning: str):
    examination = examined(text)
    assert examination.configuration is not None
    assert [str(one).removeprefix("c.yaml:")[: len(warning)] for one in examination.warnings] == [warning]
    assert examination.configuration.warnings == tuple(str(one) for one in examination.warnings)


def test_problems_of_every_kind_are_found_in_one_run(tmp_path: Path):
    text = """\
        server:
          hostname: mx.contoso.example
          certificate: {chain: none.pem, key: none.key}
          hostname: again.example
          workrs: 3
        domains:
          own.example: {deliver_to: [m.example], connector: nobody}
        connectors:
          a:
            domains: [p.example]
            inbound: {networks: [10.0.0.1/8]}
          b: {domains: [p.example], inbound: {identity: none, tls: required}}
          c: {relay: true}
        """
    assert [line.split(": ")[:2] for line in lines(examined(text, tmp_path))] == [
        ["3:24", "server.certificate.chain"],
        ["3:39", "server.certificate.key"],
        ["4:3", "server.hostname"],
        ["5:3", "server.workrs"],
        ["7:53", "domains.own.example.connector"],
        ["11:26", "connectors.a.inbound.networks[0]"],
        ["12:17", "connectors.b.domains[0]"],
        ["13:3", "connectors.c"],
        ["13:7", "connectors.c.relay"],
    ]


def test_a_server_that_cannot_be_read_does_not_hide_the_connectors():
    found = lines(
        examined("server: {}\nconnectors: {a: {relay: true, inbound: {tls: required}, domains: [p.example]}}")
    )
    assert [line.split(": ")[1] for line in found] == ["server.hostname", "connectors.a.relay", "connectors.a.inbound"]


def test_a_broken_part_does_not_cause_a_second_problem():
    text = connectors("a: {domains: [p.example], inbound: {networks: [nonsense]}, relay: true}")
    assert len(lines(examined(text))) == 1


def test_everything_that_was_not_written_has_its_default():
    found = built(SERVER)
    server = found.server
    assert (server.hostname, server.postmaster, server.authserv_id) == (
        "mx.contoso.example",
        "postmaster@mx.contoso.example",
        "mx.contoso.example",
    )
    assert [listener.address for listener in server.listen] == [HostPort("127.0.0.1", 2525)]
    assert (server.workers, server.limits, server.trace_keep) == (4, Limits(), 2_592_000.0)
    assert (found.default.inbound, found.default.outbound) == (Inbound(), Outbound())
    assert found.default.outbound.tls.level is TlsLevel.ENCRYPTED
    assert found.default.line == 0


def test_a_missing_direction_is_defaults():
    text = connectors(
        f"a: {{{PARTNER}}}\n  b: {{domains: [b.example], outbound: {{}}}}\n"
        "  default: {inbound: {tls: required}, outbound: {tls: {level: verified}}}"
    )
    found = built(text).connectors
    assert list(found) == ["a", "b", "default"]
    assert found["a"].outbound.tls.level is TlsLevel.VERIFIED
    assert (found["a"].own_inbound, found["a"].own_outbound, found["a"].line) == (True, False, 3)
    assert found["b"].outbound.tls.level is TlsLevel.ENCRYPTED
    assert found["b"].inbound.tls == InboundTls(required=True)


@pytest.mark.parametrize(
    ("tls", "level"),
    [
        ("{}", TlsLevel.ENCRYPTED),
        ("{names: [m.example]}", TlsLevel.VERIFIED),
        ("{ca: system}", TlsLevel.VERIFIED),
        (f"{{pins: ['{PIN}'], names: [m.example]}}", TlsLevel.PINNED),
        ("{level: none}", TlsLevel.NONE),
        ("{level: opportunistic}", TlsLevel.OPPORTUNISTIC),
    ],
)
def test_a_missing_level_is_the_strictest_that_its_keys_imply(tls: str, level: TlsLevel):
    assert built(connectors(f"a: {{{PARTNER}, outbound: {{tls: {tls}}}}}")).connectors["a"].outbound.tls.level is level


def test_a_whole_partner_becomes_a_contract(tmp_path: Path):
    issued = root().issue(dns_names=["mx.contoso.example"], not_before=NOW)
    issued.write(tmp_path, "mx")
    (tmp_path / "ca.pem").write_bytes(issued.chain_pem)
    (tmp_path / "who").write_text("# ours\nBob@contoso.example\n\nann@other.example\n")
    text = """\
        server:
          hostname: MX.contoso.example
          certificate: {chain: mx.pem, key: mx.key}
          listen: [{address: "[::1]:4650", tls: implicit, proxy: ["::ffff:10.1.0.0/112"]}]
          queue: {store: "sqlite:var/queue"}
          workers: 3
          dns: {nameservers: ["127.0.0.1", "[::1]:5353"], trust_ad: true}
          limits: {message_size: 10 MiB, lifetime: 2d, forbid_early_talkers: false}
          trace: {keep: 7d}
          log: {format: json}
        domains:
          contoso.example: {deliver_to: ["mail.contoso.example"], recipients: who, allow_own_sender: true}
          other.example: {deliver_to: ["mail.contoso.example"], recipients: verify}
        connectors:
          fabrikam:
            domains: [faß.example, "*.Fabrikam.example"]
            inbound:
              claims: [mail_from]
              tls: {min_version: 1.3, client_certificate: {names: ["*.fabrikam.example"], pins: ["%s"], eku: client}}
              networks: [203.0.113.0/24]
              combine: any
            outbound:
              route: {hosts: ["mx1.fabrikam.example:26"]}
              tls: {ca: ca.pem}
              client_certificate: {chain: mx.pem, key: mx.key}
        """
    found = built(text % PIN, tmp_path)
    server, partner = found.server, found.connectors["fabrikam"]
    pair = KeyPair(str(tmp_path / "mx.pem"), str(tmp_path / "mx.key"))
    assert (server.certificate, server.queue) == (pair, f"sqlite:{tmp_path}/var/queue")
    assert server.listen[0].proxy == (ip_network("10.1.0.0/16"),)
    assert server.nameservers == (HostPort("127.0.0.1", 53), HostPort("::1", 5353))
    assert (server.limits.message_size, server.limits.lifetime) == (10 << 20, 172_800.0)
    assert not server.limits.forbid_early_talkers
    assert (server.trace_keep, server.log_format, server.workers, server.trust_ad) == (604_800.0, "json", 3, True)
    assert found.domains["contoso.example"].recipients == frozenset({"bob@contoso.example"})
    assert found.domains["other.example"].recipients == "verify"
    assert partner.domains == ("xn--fa-hia.example", "*.fabrikam.example")
    certificate = partner.inbound.tls.client_certificate
    assert certificate is not None
    assert certificate.ca is not None
    assert certificate.ca.is_system  # names without a ca: somebody must vouch for them
    assert (certificate.pins, certificate.eku) == ((Pin("cert-sha256", "ab" * 32),), "client")
    assert (partner.inbound.tls.min_version, partner.inbound.claims) == ("1.3", frozenset({"mail_from"}))
    assert partner.outbound.hosts == (HostPort("mx1.fabrikam.example", 26),)
    assert partner.outbound.client_certificate == pair
    assert partner.outbound.tls.ca is not None
    assert partner.outbound.tls.ca.certificates == (issued.der,)


def test_load_raises_with_every_problem(tmp_path: Path):
    path = tmp_path / "c.yaml"
    path.write_text("server: {hostnam: x.example}\nconnectors: {a: {}}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(str(path), now=NOW.timestamp(), cpus=1)
    assert caught.value.problems == tuple(str(problem) for problem in examined_file(path).problems)
    assert len(caught.value.problems) == 3
    path.write_text(SERVER)
    assert load(str(path), now=NOW.timestamp(), cpus=1).server.workers == 1


def test_what_is_no_text_file_is_a_problem(tmp_path: Path):
    path = tmp_path / "c.yaml"
    path.write_bytes(b"server:\n  hostname: \xff\n")
    assert lines(examined_file(path)) == ["2:13: octet 0xff is not UTF-8 (is this a text file?)"]
    path.write_bytes(b"")
    assert "the file is empty" in lines(examined_file(path))[0]
    path.write_text("- 1")
    assert "expected an object with server and connectors" in lines(examined_file(path))[0]
    assert (
        "Is a directory" in lines(examined_file(tmp_path))[0]
        or "not a regular file" in lines(examined_file(tmp_path))[0]
    )
    assert "No such file" in lines(examined_file(tmp_path / "none"))[0]
    assert "cannot be read" in lines(examined_file(Path("a\0b")))[0]


def test_the_digest_tells_one_configuration_from_the_next():
    assert built(SERVER).digest == built(SERVER).digest != built(SERVER + "# changed\n").digest
