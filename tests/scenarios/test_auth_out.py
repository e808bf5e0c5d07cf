"""A smart host that wants a password gets it from us alone when it has proved who it is, and nobody ever reads it."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.outgoing import Outgoing, outgoing
from tests.support.pki import Authority
from tests.support.running_mta import mta
from tests.support.smtp_peer import EXTENSIONS, PeerTls, Script, SmtpPeer, smtp_peer

NAME = "smtp.cloud.example"
CLOUD = Authority("Cloud Root")
GOOD = CLOUD.issue(dns_names=[NAME])
PASSWORD = "correct horse battery staple"
BOB = "bob@cloud.example"
REFUSED = "535 5.7.8 who are you?"


def host(folder: Path, auth: str = "PLAIN LOGIN", issued: object = GOOD, **replies: object) -> Script:
    """A submission host of the cloud."""
    chain, key = issued.write(folder, "cloud")  # type: ignore[attr-defined]
    offers = (*EXTENSIONS, f"AUTH {auth}") if auth else EXTENSIONS
    return Script(extensions=offers, tls=PeerTls(str(chain), str(key)), replies=dict(replies))


def connector(folder: Path, port: int, tls: str = f"level: verified, names: [{NAME}], ca: cloud-ca.pem") -> str:
    CLOUD.write(folder / "cloud-ca.pem")
    (folder / "cloud.password").write_text(PASSWORD + "\n")
    (folder / "cloud.password").chmod(0o600)
    return f"""
cloud:
  domains: [cloud.example]
  inbound: {{identity: none}}
  outbound:
    route: {{hosts: ["127.0.0.1:{port}"]}}
    tls: {{{tls}}}
    auth: {{user: relay, password_file: cloud.password}}
"""


def plain(password: str) -> str:
    """What AUTH PLAIN says (RFC 4616)."""
    return base64.b64encode(f"\0relay\0{password}".encode()).decode()


def nobody_read_it(ours: Outgoing, peer: SmtpPeer, password: str = PASSWORD) -> bool:
    """Whether the password stands neither in the log, nor in a trace, nor on the wire in clear."""
    shown = "\n".join(ours.relay.raw) + str(ours.ask("trace")) + peer.clear_bytes.decode("latin-1")
    encoded = base64.b64encode(password.encode()).decode()
    return not any(secret in shown for secret in (password, plain(password), encoded))


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_the_password_goes_to_the_host_that_proved_itself(tmp_path: Path, mechanism: str) -> None:
    with smtp_peer(host(tmp_path, mechanism)) as peer, outgoing(tmp_path, connector(tmp_path, peer.port)) as ours:
        assert ours.ends(ours.send(BOB)) == {BOB: "delivered"}
        said = "\n".join(peer.commands)
        secret = plain(PASSWORD) if mechanism == "PLAIN" else base64.b64encode(PASSWORD.encode()).decode()
        assert secret in said
        assert said.index("STARTTLS") < said.index("AUTH ") < said.index("MAIL FROM")
        assert nobody_read_it(ours, peer)


def test_a_refused_password_is_ours_to_mend_and_the_mail_waits(tmp_path: Path) -> None:
    with (
        smtp_peer(host(tmp_path, AUTH=REFUSED)) as peer,
        outgoing(tmp_path, connector(tmp_path, peer.port)) as ours,
    ):
        id_ = ours.send(BOB)
        reason = ours.waits(id_)["attempts"][0]["failure"]["reason"]
        assert reason.startswith("auth-refused: ")
        assert "535 5.7.8 who are you?" in reason
        assert not any(command.startswith("MAIL") for command in peer.commands)
        assert ours.home.messages == []

        fresh = "a new one"
        (tmp_path / "cloud.password").write_text(fresh)
        ours.relay.reload()
        ours.relay.wait_for("server.reloaded", worker=0)
        peer.script = host(tmp_path)
        ours.retry(id_)
        assert ours.ends(id_) == {BOB: "delivered"}
        assert f"AUTH PLAIN {plain(fresh)}" in peer.commands
        assert nobody_read_it(ours, peer)
        assert nobody_read_it(ours, peer, fresh)


def test_a_host_that_asks_for_no_password_gets_no_mail_without(tmp_path: Path) -> None:
    with smtp_peer(host(tmp_path, auth="")) as peer, outgoing(tmp_path, connector(tmp_path, peer.port)) as ours:
        id_ = ours.send(BOB)
        failure = ours.waits(id_)["attempts"][0]["failure"]
        assert failure["reason"].startswith("auth-not-offered: 127.0.0.1 offers no AUTH at all"), "not the host's word"
        assert not any(command.startswith(("AUTH", "MAIL")) for command in peer.commands)


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ("wrong-name", "certificate-name"),
        ("wrong-ca", "certificate-untrusted"),
        ("no-tls", "starttls-not-offered"),
    ],
)
def test_a_host_that_has_not_proved_itself_hears_no_password(tmp_path: Path, fault: str, word: str) -> None:
    issued = {"wrong-name": CLOUD.issue(dns_names=["x.example"]), "wrong-ca": Authority("X").issue(dns_names=[NAME])}
    script = host(tmp_path, issued=issued.get(fault, GOOD))
    if fault == "no-tls":
        script = replace(script, tls=None)
    with smtp_peer(script) as peer, outgoing(tmp_path, connector(tmp_path, peer.port)) as ours:
        [attempt] = ours.waits(ours.send(BOB))["attempts"]
        assert attempt["failure"]["reason"].startswith(f"{word}: ")
        assert not any(command.startswith(("AUTH", "MAIL")) for command in peer.commands)
        assert nobody_read_it(ours, peer)


@pytest.mark.parametrize("level", ["none", "opportunistic", "encrypted"])
def test_a_configuration_that_would_give_the_password_away_is_refused(tmp_path: Path, level: str) -> None:
    config = tmp_path / "connectors.yaml"
    config.write_text(
        "server: {hostname: mx.contoso.example}\nconnectors:\n"
        + "".join(f"  {line}\n" for line in connector(tmp_path, 2525, f"level: {level}").strip().splitlines())
    )
    done = mta("check", "--config", str(config))
    assert done.returncode == 2
    assert "cloud.outbound.auth" in done.stderr
    assert PASSWORD not in done.stderr + done.stdout
