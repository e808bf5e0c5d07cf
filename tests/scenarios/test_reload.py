"""SIGHUP under load: a new contract holds from the next message on, a bad one never does, and nobody is dropped."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import smtplib
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import mta
from tests.support.client import client, send
from tests.support.load import Load
from tests.support.pki import authority
from tests.support.running_mta import Python, RunningMta, free_port, running_mta, until
from tests.support.smtp_peer import STALL, Pause, PeerTls, Script, SmtpPeer, smtp_peer

HOST = "mx.contoso.example"
CONFIG = """
server:
  hostname: mx.contoso.example
  listen: [{{address: "127.0.0.1:{{port}}"}}]
  certificate: {{chain: mx.contoso.example.pem, key: mx.contoso.example.key}}
  workers: {workers}
  watch: off
  limits: {{retry_min: 1s, retry_max: 1s, host_backoff: 0s, idle_timeout: 60s, destination_concurrency: {most}}}
domains: {{contoso.example: {{deliver_to: ["127.0.0.1:{peer}"], connector: inside}}}}
connectors:
  default: {{inbound: {{tls: optional}}, outbound: {{route: {{hosts: ["127.0.0.1:{default}"]}}, tls: {{level: none}}}}}}
  inside: {{relay: true, inbound: {{networks: [127.0.0.0/8]}}, outbound: {{tls: {{level: none}}}}}}
"""
WINGTIP = """\
  wingtip:
    domains: [wingtip.example]
    inbound: {{identity: none}}
    outbound: {{route: {{hosts: ["127.0.0.1:{port}"]}}, tls: {tls}}}
"""
CLEAR = "{level: none}"


def certify(folder: Path) -> str:
    """A new certificate with a new key for the relay, as a renewal leaves it on the disk; its fingerprint."""
    issued = authority("Contoso Root").issue(dns_names=[HOST])
    issued.write(folder, HOST)
    return hashlib.sha256(issued.ders[0]).hexdigest()


def config(peer: SmtpPeer, *, default: int = 1, workers: int = 1, most: int = 20, more: str = "") -> str:
    return CONFIG.format(peer=peer.port, default=default, workers=workers, most=most) + more


def wingtip(port: int, tls: str = CLEAR) -> str:
    return WINGTIP.format(port=port, tls=tls)


def reload(relay: RunningMta, text: str | None = None, workers: int = 1) -> None:
    """Reload, and wait until every worker has taken it over."""
    before = len(relay.seen("server.reloaded"))
    relay.reload(text and text.replace("{port}", str(relay.port)))
    until(lambda: len(relay.seen("server.reloaded")) == before + 1 + workers, describe=relay.story)


def shown(port: int) -> str:
    """The fingerprint of the certificate that a new session is shown."""
    with smtplib.SMTP("127.0.0.1", port) as session:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        session.starttls(context=context)
        assert isinstance(session.sock, ssl.SSLSocket)
        return hashlib.sha256(session.sock.getpeercert(binary_form=True) or b"").hexdigest()


@contextlib.contextmanager
def relaying(folder: Path, text: str) -> Iterator[RunningMta]:
    certify(folder)
    with running_mta(folder, text) as relay:
        yield relay
        assert relay.seen("defect") == []


def held(relay: RunningMta) -> list[dict[str, object]]:
    recipients = [one for message in relay.ask("queue", "list")["messages"] for one in message["recipients"]]
    return [recipient for recipient in recipients if recipient["state"] == "held"]


def test_under_load_no_message_is_lost_or_refused_and_no_session_is_dropped(tmp_path: Path) -> None:
    with smtp_peer() as peer, relaying(tmp_path, config(peer, workers=2)) as relay:
        with Load(relay, sessions=5) as load:
            for turn in range(8):
                load.wait_for_more(15)
                reload(relay, config(peer, workers=2, more=f"# {turn}\n"), workers=2)
            load.wait_for_more(15)
        assert load.refused == []
        assert load.broken == []
        assert set(load.assert_arrived(peer).values()) == {1}


def test_a_renewed_certificate_is_shown_to_new_sessions_while_old_ones_go_on(tmp_path: Path) -> None:
    with smtp_peer() as peer, relaying(tmp_path, config(peer)) as relay:
        old = shown(relay.port)
        with client(relay.port) as session:
            new = certify(tmp_path)
            assert shown(relay.port) == old != new
            reload(relay)
            assert shown(relay.port) == new
            assert session.send("a@fabrikam.example", ["b@contoso.example"]).accepted


def test_a_new_connector_takes_effect_at_once(tmp_path: Path) -> None:
    with smtp_peer() as peer, smtp_peer() as partner, relaying(tmp_path, config(peer)) as relay:
        reload(relay, config(peer, more=wingtip(partner.port)))
        assert send(relay.port, "b@contoso.example", ["c@wingtip.example"]).accepted
        partner.wait_for(1)


def test_a_bad_file_is_refused_and_the_old_contract_stays(tmp_path: Path) -> None:
    with smtp_peer() as peer, relaying(tmp_path, config(peer)) as relay:
        relay.reload(relay.config.read_text().replace("optional", "optionel") + "bogus: 1\n")
        problems = "\n".join(relay.wait_for("server.reload-refused")["problems"])
        assert "connectors.yaml:11:" in problems
        assert "optionel" in problems
        assert "bogus: unknown key" in problems
        assert relay.seen("server.reloaded") == []
        assert send(relay.port, "a@fabrikam.example", ["b@contoso.example"]).accepted
        peer.wait_for(1)


def test_a_worker_that_starts_while_the_file_is_bad_gets_the_contract_in_force(tmp_path: Path) -> None:
    with smtp_peer() as peer, relaying(tmp_path, config(peer)) as relay:
        relay.reload("server: [")
        relay.wait_for("server.reload-refused")
        [worker] = relay.workers()
        os.kill(worker, signal.SIGKILL)
        until(lambda: len(relay.seen("worker.started")) == 2, describe=relay.story)
        assert send(relay.port, "a@fabrikam.example", ["b@contoso.example"]).accepted
        peer.wait_for(1)


def test_a_worker_that_is_being_started_hears_of_a_reload(tmp_path: Path) -> None:
    with smtp_peer() as peer, smtp_peer() as partner, relaying(tmp_path, config(peer)) as relay:
        [worker] = relay.workers()
        os.kill(worker, signal.SIGKILL)
        relay.wait_for("worker.died")
        relay.reload(config(peer, more=wingtip(partner.port)).replace("{port}", str(relay.port)))
        until(lambda: len(relay.seen("worker.started")) == 2, describe=relay.story)
        relay.wait_for("server.reloaded")
        until(lambda: relay.seen("server.reloaded", worker=0) or died_before_the_reload(relay))
        assert send(relay.port, "b@contoso.example", ["c@wingtip.example"]).accepted
        partner.wait_for(1)


def died_before_the_reload(relay: RunningMta) -> bool:
    """Whether the new worker was started with the new contract in its orders, and hears of no other."""
    names = [line["event"] for line in tuple(relay.events) if line["event"] in ("server.reloaded", "worker.started")]
    return names.index("server.reloaded") < len(names) - 1


def test_mail_of_a_connector_that_vanished_is_held_and_goes_when_it_is_back_and_released(tmp_path: Path) -> None:
    later = Script(replies={"RCPT": "450 4.2.1 not now"})
    with smtp_peer() as peer, smtp_peer() as stranger, smtp_peer(later) as partner:
        with_wingtip = config(peer, default=stranger.port, more=wingtip(partner.port))
        without = config(peer, default=stranger.port)
        with relaying(tmp_path, with_wingtip) as relay:
            id_ = send(relay.port, "b@contoso.example", ["c@wingtip.example"]).id
            relay.wait_for("delivery.deferred", message=id_)
            reload(relay, without)
            relay.wait_for("message.held", message=id_)
            [recipient] = held(relay)
            assert "connector-missing: connector wingtip is not in the configuration any more" in str(
                recipient["reason"]
            )
            assert "wingtip" in relay.command("queue", "list").stdout
            partner.script = Script()
            reload(relay, with_wingtip)
            assert len(held(relay)) == 1, "an administrator looks at it first"
            assert relay.command("queue", "release", id_).returncode == 0
            [message] = partner.wait_for(1)
            assert message.recipients == ("c@wingtip.example",)
            until(lambda: relay.ask("queue", "list")["messages"] == [])
        assert stranger.connections == 0


def test_mail_that_waits_for_a_free_connection_goes_by_the_new_contract(tmp_path: Path) -> None:
    slow = Script(replies={"DOT": [(Pause(1.5), "250 ok"), "250 ok"]})
    with smtp_peer() as peer, smtp_peer(slow) as old, smtp_peer() as new, smtp_peer() as stranger:
        first = config(peer, default=stranger.port, most=1, more=wingtip(old.port))
        second = config(peer, default=stranger.port, most=1, more=wingtip(new.port))
        with relaying(tmp_path, first) as relay:
            for _ in range(4):  # one is under way, three wait in memory
                assert send(relay.port, "b@contoso.example", ["c@wingtip.example"]).accepted
            old.wait_for_command("DATA")
            reload(relay, second)
            new.wait_for(3)
            old.wait_for(1)
            until(lambda: relay.ask("queue", "list")["messages"] == [])
            assert (len(old.messages), len(new.messages)) == (1, 3)


def test_mail_that_waits_in_memory_is_held_when_its_connector_vanishes(tmp_path: Path) -> None:
    slow = Script(replies={"DOT": [(Pause(1.5), "250 ok"), "250 ok"]})
    with smtp_peer() as peer, smtp_peer(slow) as partner, smtp_peer() as stranger:
        first = config(peer, default=stranger.port, most=1, more=wingtip(partner.port))
        with relaying(tmp_path, first) as relay:
            for _ in range(3):
                assert send(relay.port, "b@contoso.example", ["c@wingtip.example"]).accepted
            partner.wait_for_command("DATA")
            reload(relay, config(peer, default=stranger.port, most=1))
            until(lambda: len(held(relay)) == 2, describe=relay.story)
            partner.wait_for(1)
            assert len(partner.messages) == 1
            assert stranger.connections == 0


def test_a_connection_of_the_old_contract_is_not_used_again(tmp_path: Path) -> None:
    chain, key = authority("Wingtip Root").issue(dns_names=["mail.wingtip.example"]).write(tmp_path, "wingtip")
    authority("Other Root").write(tmp_path / "other.pem")
    authority("Wingtip Root").write(tmp_path / "wingtip-ca.pem")

    def contract(peer: SmtpPeer, port: int, ca: str) -> str:
        return config(peer, more=wingtip(port, f"{{level: verified, names: [mail.wingtip.example], ca: {ca}}}"))

    with smtp_peer() as peer, smtp_peer(Script(tls=PeerTls(str(chain), str(key)))) as partner:
        verified = contract(peer, partner.port, "wingtip-ca.pem")
        with relaying(tmp_path, verified) as relay:
            for count in (1, 2):
                send(relay.port, "b@contoso.example", ["c@wingtip.example"])
                partner.wait_for(count)
                assert partner.connections == 1, "the connection is kept"
            reload(relay)
            send(relay.port, "b@contoso.example", ["c@wingtip.example"])
            partner.wait_for(3)
            assert partner.connections == 2
            (tmp_path / "wingtip-ca.pem").write_bytes((tmp_path / "other.pem").read_bytes())  # the same name
            reload(relay)
            id_ = send(relay.port, "b@contoso.example", ["c@wingtip.example"]).id
            assert "certificate" in relay.wait_for("delivery.deferred", message=id_)["reason"]
            assert len(partner.messages) == 3


TWO_HOSTS = """\
  wingtip:
    domains: [wingtip.example]
    inbound: {{identity: none}}
    outbound: {{route: {{hosts: ["127.0.0.1:{first}", "127.0.0.1:{second}"]}}, tls: {tls}}}
"""
ENCRYPTED = "{level: encrypted}"


def test_an_attempt_that_began_before_a_reload_dials_its_next_host_by_the_new_contract(tmp_path: Path) -> None:
    with smtp_peer() as peer, smtp_peer(Script(replies={"GREETING": STALL})) as first, smtp_peer() as second:
        hosts = {"first": first.port, "second": second.port}
        with relaying(tmp_path, config(peer, more=TWO_HOSTS.format(**hosts, tls=CLEAR))) as relay:
            id_ = send(relay.port, "b@contoso.example", ["c@wingtip.example"]).id
            until(lambda: first.connections, describe=relay.story)
            reload(relay, config(peer, more=TWO_HOSTS.format(**hosts, tls=ENCRYPTED)))
            first.script = Script()
            first.hang_up()
            relay.wait_for("delivery.restarted", message=id_)
            assert "starttls-not-offered" in relay.wait_for("delivery.deferred", message=id_)["reason"]
            assert not [line for line in (*first.commands, *second.commands) if line.startswith("MAIL")]


def test_a_connection_that_was_opened_before_a_reload_carries_no_mail_after_it(tmp_path: Path) -> None:
    slow = Script(replies={"EHLO": [(Pause(2.0), "250-slow\r\n250 SIZE"), "250-slow\r\n250 SIZE"]})
    with (
        smtp_peer() as peer,
        smtp_peer(slow) as partner,
        relaying(tmp_path, config(peer, more=wingtip(partner.port))) as relay,
    ):
        id_ = send(relay.port, "b@contoso.example", ["c@wingtip.example"]).id
        partner.wait_for_command("EHLO")
        reload(relay, config(peer, more=wingtip(partner.port, ENCRYPTED)))
        assert "starttls-not-offered" in relay.wait_for("delivery.deferred", message=id_)["reason"]
        assert not [line for line in partner.commands if line.startswith("MAIL")]
        assert len(partner.commands) >= 2, "it was dialled again, at once"


def test_a_transaction_that_came_in_clear_is_refused_once_the_contract_demands_tls(tmp_path: Path) -> None:
    with smtp_peer() as peer, relaying(tmp_path, config(peer)) as relay, client(relay.port) as session:
        assert session.say("MAIL FROM:<c@wingtip.example>").startswith("250")
        assert session.say("RCPT TO:<b@contoso.example>").startswith("250")
        partner = "  wingtip: {domains: [wingtip.example], inbound: {tls: required, identity: none}}\n"
        reload(relay, config(peer, more=partner))
        assert session.say("DATA").startswith("354")
        session.smtp.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert session.smtp.getreply()[0] // 100 == 5
        assert peer.messages == []


def test_a_connection_in_use_during_a_reload_is_not_kept_after_it(tmp_path: Path) -> None:
    slow = Script(replies={"DOT": (Pause(1.0), "250 ok")})
    with smtp_peer() as peer, smtp_peer(slow) as partner:
        text = config(peer, more=wingtip(partner.port))
        with relaying(tmp_path, text) as relay:
            send(relay.port, "b@contoso.example", ["c@wingtip.example"])
            partner.wait_for_command("DATA")
            reload(relay)
            partner.wait_for(1)
            send(relay.port, "b@contoso.example", ["c@wingtip.example"])
            partner.wait_for(2)
            assert partner.connections == 2


def test_what_needs_a_restart_is_said(tmp_path: Path) -> None:
    with smtp_peer() as peer, relaying(tmp_path, config(peer)) as relay:
        reload(relay, config(peer).replace("workers: 1", "workers: 2"))
        warning = relay.wait_for("config.warning")
        assert warning["text"] == "server.workers: takes effect at a restart only"
        assert len(relay.workers()) == 1


def test_sessions_go_on_while_ten_thousand_connectors_are_loaded(tmp_path: Path) -> None:
    many = "".join(
        f"  p{n}: {{domains: [p{n}.example], inbound: {{networks: [10.{n // 256}.{n % 256}.0/24]}}}}\n"
        for n in range(10_000)
    )
    with smtp_peer() as peer, relaying(tmp_path, config(peer)) as relay:
        answered = 0
        with client(relay.port) as session:
            relay.reload(config(peer, more=many).replace("{port}", str(relay.port)))
            relay.wait_for("server.reloaded")  # by the supervisor: now it is the worker's turn
            while not relay.seen("server.reloaded", worker=0):
                assert session.send("a@fabrikam.example", ["b@contoso.example"]).accepted
                answered += 1
                time.sleep(0.01)
        assert answered >= 5
        assert set(delivered_to(relay)) == {"b@contoso.example"}


def delivered_to(relay: RunningMta) -> list[str]:
    """To whom was delivered so far."""
    return [address for line in relay.seen("delivery.delivered") for address in line["to"]]


LISTENING = """
server:
  {{hostname: mx.contoso.example, workers: 1, watch: off, listen: [{listen}],
    certificate: {{chain: mx.contoso.example.pem, key: mx.contoso.example.key}}}}
domains: {{contoso.example: {{deliver_to: ["127.0.0.1:1"]}}}}
connectors: {{default: {{inbound: {{tls: optional}}, outbound: {{tls: {{level: none}}}}}}}}
"""


def test_a_socket_stays_what_it_was_bound_for(tmp_path: Path) -> None:
    certify(tmp_path)
    implicit, behind = free_port(), free_port()
    plain = '{address: "127.0.0.1:{port}"}'
    tls = f'{{address: "127.0.0.1:{implicit}", tls: implicit}}'
    proxy = f'{{address: "127.0.0.1:{behind}", proxy: ["127.0.0.0/8"]}}'
    with running_mta(tmp_path, LISTENING.format(listen=", ".join((plain, tls, proxy)))) as relay:

        def change(*listen: str) -> list[str]:
            before = len(relay.seen("config.warning"))
            taken = len(relay.seen("server.reloaded", worker=0))
            relay.reload(LISTENING.format(listen=", ".join(listen)).replace("{port}", str(relay.port)))
            until(lambda: len(relay.seen("server.reloaded", worker=0)) > taken)
            return [line["text"] for line in relay.seen("config.warning")[before:]]

        def unchanged() -> None:
            assert first_octets(relay.port) == b"220"
            with ssl_client(implicit) as session:
                assert session.recv(3) == b"220"
            assert first_octets(behind, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0") == b"220", "PROXY v2, LOCAL"

        unchanged()
        assert change(proxy, tls, plain) == [], "an order of the list says nothing"
        unchanged()
        assert change(tls) == [
            f"server.listen: {{address: 127.0.0.1:{relay.port}, tls: starttls}} is served until a restart, "
            "though it is listed no more",
            f"server.listen: {{address: 127.0.0.1:{behind}, tls: starttls, proxy: [127.0.0.0/8]}} "
            "is served until a restart, though it is listed no more",
        ]
        unchanged()
        fresh = free_port()
        believing = '{address: "127.0.0.1:{port}", proxy: ["0.0.0.0/0"]}'
        told = change(believing, tls, proxy, f'{{address: "127.0.0.1:{fresh}"}}')
        assert [line for line in told if "server.listen" in line] == [
            f"server.listen: {{address: 127.0.0.1:{fresh}, tls: starttls}} is not served before a restart",
            f"server.listen: {{address: 127.0.0.1:{relay.port}, tls: starttls}} stays as it is until a restart, "
            f"then it becomes {{address: 127.0.0.1:{relay.port}, tls: starttls, proxy: [0.0.0.0/0]}}",
        ]
        unchanged()
        os.kill(relay.workers()[0], signal.SIGKILL)
        until(lambda: len(relay.seen("worker.started")) == 2)
        unchanged()
        bare = LISTENING.format(listen=plain).replace("{port}", str(relay.port))
        relay.reload(
            bare.replace("    certificate: {chain: mx.contoso.example.pem, key: mx.contoso.example.key}}", "}")
        )
        assert "begins with TLS until a restart" in relay.wait_for("server.reload-refused")["problems"][0]
        unchanged()


def first_octets(port: int, said: bytes = b"") -> bytes:
    with socket.create_connection(("127.0.0.1", port), 20) as client_:
        client_.sendall(said)
        return client_.recv(3)


@contextlib.contextmanager
def ssl_client(port: int) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 20) as raw, context.wrap_socket(raw) as session:
        yield session


_TELL_MODULES = """
import atexit, os, sys
if "worker" in sys.orig_argv:
    atexit.register(lambda: open(f"{os.environ['TOLD']}/{os.getpid()}", "w").write("\\n".join(sys.modules)))
"""


def test_workers_are_handed_what_was_judged_and_read_no_file_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever lies there by now: a worker that begins later, and a reload, have the judgement of the supervisor."""
    (told := tmp_path / "told").mkdir()
    (tmp_path / "sitecustomize.py").write_text(_TELL_MODULES)
    monkeypatch.setenv("TOLD", str(told))
    certify(tmp_path)
    python = Python(sys.executable, f"{tmp_path}:{Path(mta.__file__).parents[1]}")
    with smtp_peer() as peer, running_mta(tmp_path, config(peer), python=python) as relay:
        reload(relay, config(peer, more=wingtip(1)))
        for path in (relay.config, tmp_path / f"{HOST}.pem"):
            path.write_text("nothing of use")
        [worker] = relay.workers()
        os.kill(worker, signal.SIGKILL)
        until(lambda: len(relay.seen("worker.started")) == 2, describe=relay.story)
        assert shown(relay.port)
        assert send(relay.port, "a@fabrikam.example", ["b@contoso.example"]).accepted
        peer.wait_for(1)
    [modules] = [set(path.read_text().split()) for path in told.iterdir()]
    assert {"mta.app.worker", "mta.adapters.sqlite"} <= modules
    assert modules & {"yaml", "_yaml", "pydantic", "mta.config.load"} == set()
