"""A smart host that takes tokens: they come from an issuer, serve many messages, and nobody ever reads them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.scenarios.test_auth_out import BOB, CLOUD, NAME, host
from tests.support.http_peer import HttpPeer, http_peer
from tests.support.outgoing import Outgoing, outgoing
from tests.support.running_mta import mta
from tests.support.smtp_peer import SmtpPeer, smtp_peer

SECRET = "client-s3cr3t"
USER = "relay@contoso.example"


@contextmanager
def issuing(lifetime: int = 3600, token: str = "token") -> Iterator[HttpPeer]:
    with http_peer() as issuer:
        issuer.answers["/token"] = lambda _: json.dumps(
            {"access_token": f"{token}-{len(issuer.requests)}", "token_type": "Bearer", "expires_in": lifetime}
        ).encode()
        yield issuer


def connector(folder: Path, port: int, issuer: HttpPeer, more: str = "") -> str:
    CLOUD.write(folder / "cloud-ca.pem")
    for file, text in (("client.secret", SECRET), ("refresh.token", "refresh-s3cr3t")):
        (folder / file).write_text(text + "\n")
        (folder / file).chmod(0o600)
    grant = more or 'client_secret_file: client.secret, scope: "https://outlook.office365.com/.default"'
    return f"""
cloud:
  domains: [cloud.example]
  inbound: {{identity: none}}
  outbound:
    route: {{hosts: ["127.0.0.1:{port}"]}}
    tls: {{level: verified, names: [{NAME}], ca: cloud-ca.pem}}
    auth: {{user: {USER}, oauth: {{token_url: "{issuer.url("/token")}", client_id: relay, {grant}}}}}
"""


def xoauth2(token: str) -> str:
    return base64.b64encode(f"user={USER}\1auth=Bearer {token}\1\1".encode()).decode()


def nobody_read_it(ours: Outgoing, peer: SmtpPeer, *secrets: str) -> bool:
    shown = "\n".join(ours.relay.raw) + str(ours.ask("trace")) + peer.clear_bytes.decode("latin-1")
    return not any(secret in shown for secret in (SECRET, "refresh-s3cr3t", *secrets))


def test_one_token_serves_many_messages(tmp_path: Path) -> None:
    with (
        issuing() as issuer,
        smtp_peer(host(tmp_path, "LOGIN XOAUTH2")) as peer,
        outgoing(tmp_path, connector(tmp_path, peer.port, issuer), limits="idle_timeout: 0s") as ours,
    ):
        for _ in range(3):
            assert ours.ends(ours.send(BOB)) == {BOB: "delivered"}
        assert [line for line in peer.commands if line.startswith("AUTH")] == [f"AUTH XOAUTH2 {xoauth2('token-1')}"] * 3
        assert len(issuer.requests) == 1
        assert b"outlook.office365.com%2F.default" in issuer.requests[0][3]
        assert nobody_read_it(ours, peer, "token-1", xoauth2("token-1"))


def test_oauthbearer_with_a_long_token_by_refresh(tmp_path: Path) -> None:
    long = "t" * 2000
    script = host(tmp_path, "OAUTHBEARER", AUTH="334 ")
    with (
        issuing(token=long) as issuer,
        smtp_peer(script) as peer,
        outgoing(tmp_path, connector(tmp_path, peer.port, issuer, "refresh_token_file: refresh.token")) as ours,
    ):
        assert ours.ends(ours.send(BOB)) == {BOB: "delivered"}
        place = peer.commands.index("AUTH OAUTHBEARER")
        said = base64.b64decode(peer.commands[place + 1])
        assert said == f"n,a={USER},\1host=127.0.0.1\1port={peer.port}\1auth=Bearer {long}-1\1\1".encode()
        assert b"grant_type=refresh_token&refresh_token=refresh-s3cr3t" in issuer.requests[0][3]
        assert nobody_read_it(ours, peer, long)


def test_a_token_that_is_not_taken_is_exchanged_once(tmp_path: Path) -> None:
    why = base64.b64encode(b'{"status":"401","schemes":"bearer"}').decode()
    script = host(tmp_path, "XOAUTH2", AUTH=[f"334 {why}", "235 2.7.0 in"], ANSWER="535 5.7.3 unsuccessful")
    with (
        issuing() as issuer,
        smtp_peer(script) as peer,
        outgoing(tmp_path, connector(tmp_path, peer.port, issuer)) as ours,
    ):
        assert ours.ends(ours.send(BOB)) == {BOB: "delivered"}
        assert [line for line in peer.commands if line.startswith("AUTH")] == [
            f"AUTH XOAUTH2 {xoauth2('token-1')}", f"AUTH XOAUTH2 {xoauth2('token-2')}",
        ]  # fmt: skip


def test_a_host_that_takes_none_is_quoted_and_the_mail_waits(tmp_path: Path) -> None:
    why = base64.b64encode(b'{"status":"403","scope":"mail.send"}').decode()
    script = host(tmp_path, "XOAUTH2", AUTH=f"334 {why}", ANSWER="535 5.7.3 unsuccessful")
    with (
        issuing() as issuer,
        smtp_peer(script) as peer,
        outgoing(tmp_path, connector(tmp_path, peer.port, issuer)) as ours,
    ):
        id_ = ours.send(BOB)
        reason = ours.waits(id_)["attempts"][0]["failure"]["reason"]
        assert reason == (
            "auth-refused: 127.0.0.1 refused our token: 535 5.7.3 unsuccessful (status 403, scope mail.send)"
        )
        assert len(issuer.requests) == 2
        assert reason in ours.relay.command("queue", "list").stdout + ours.relay.command("queue", "show", id_).stdout
        assert not any(line.startswith("MAIL") for line in peer.commands)


def test_what_the_issuer_says_is_told_and_the_mail_waits(tmp_path: Path) -> None:
    with (
        issuing() as issuer,
        smtp_peer(host(tmp_path, "XOAUTH2")) as peer,
        outgoing(tmp_path, connector(tmp_path, peer.port, issuer)) as ours,
    ):
        issuer.answers["/token"] = (401, {}, b'{"error":"invalid_client","error_description":"secret expired"}')
        reason = ours.waits(ours.send(BOB))["attempts"][0]["failure"]["reason"]
        assert reason.startswith(f"auth-no-token: for {USER} at 127.0.0.1: http://127.0.0.1:")
        assert reason.endswith("it answered 401: invalid_client: secret expired")
        assert not any(line.startswith("AUTH") for line in peer.commands)


@pytest.mark.parametrize(
    ("offer", "password", "words"),
    [
        ("XOAUTH2", True, "offers only AUTH XOAUTH2, and we could say PLAIN or LOGIN: it takes no passwords, write"),
        ("PLAIN LOGIN", False, "offers only AUTH PLAIN LOGIN, and we could say XOAUTH2 or OAUTHBEARER"),
    ],
)
def test_what_the_host_does_not_offer_is_said_in_our_words(
    tmp_path: Path, offer: str, password: bool, words: str
) -> None:
    with issuing() as issuer, smtp_peer(host(tmp_path, offer)) as peer:
        text = connector(tmp_path, peer.port, issuer)
        if password:
            text = text[: text.index("    auth:")] + f"    auth: {{user: {USER}, password_file: client.secret}}\n"
        with outgoing(tmp_path, text) as ours:
            reason = ours.waits(ours.send(BOB))["attempts"][0]["failure"]["reason"]
            assert reason.startswith(f"auth-not-offered: 127.0.0.1 {words}")
            assert not any(line.startswith("AUTH") for line in peer.commands)


def test_a_host_that_takes_no_passwords_any_more_is_said_so(tmp_path: Path) -> None:
    script = host(tmp_path, AUTH="535 5.7.139 Authentication unsuccessful, basic authentication is disabled.")
    with issuing() as issuer, smtp_peer(script) as peer:
        text = connector(tmp_path, peer.port, issuer)
        text = text[: text.index("    auth:")] + f"    auth: {{user: {USER}, password_file: client.secret}}\n"
        with outgoing(tmp_path, text) as ours:
            reason = ours.waits(ours.send(BOB))["attempts"][0]["failure"]["reason"]
            assert (
                "basic authentication is disabled. (it takes no passwords any more: write outbound.auth.oauth)"
                in reason
            )


@pytest.mark.parametrize(
    ("auth", "problem"),
    [
        ("{user: u}", "outbound.auth: nothing here proves who we are"),
        ("{user: u, password_file: pw, oauth: OAUTH}", "oauth: a password and a token stand beside each other"),
        ("{user: u, oauth: {token_url: \"http://login.example/t\", client_id: c, client_secret_file: pw}}",
         "token_url: secrets would be sent in clear to login.example"),
        ("{user: u, oauth: {token_url: \"https://login.example/t\", client_id: c}}",
         "oauth: nothing here proves to the issuer who we are"),
        ("{user: u, oauth: {token_url: \"ftp://x\", client_id: c, client_secret_file: pw}}",
         "is not the URL of a token"),
        ("{user: u, oauth: {token_url: \"https://l.example/t\", client_id: c, client_secret_file: none}}",
         "oauth.client_secret_file: "),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_a_problem(tmp_path: Path, auth: str, problem: str) -> None:
    (tmp_path / "pw").write_text("p\n")
    whole = '{token_url: "https://login.example/t", client_id: c, client_secret_file: pw}'
    (tmp_path / "connectors.yaml").write_text(
        "server: {hostname: mx.contoso.example}\nconnectors:\n  a: {domains: [a.example], inbound: {identity: none}, "
        f'outbound: {{route: {{hosts: ["h.example:25"]}}, tls: {{level: verified}}, '
        f"auth: {auth.replace('OAUTH', whole)}}}}}\n"
    )
    done = mta("check", "--config", str(tmp_path / "connectors.yaml"))
    assert done.returncode == 2
    assert problem in done.stderr
