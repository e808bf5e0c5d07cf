"""A signature that was good when it came and is not when it leaves is named, with what we did to it."""

from __future__ import annotations

from pathlib import Path

from tests.support.client import send
from tests.support.dns_server import dns_server
from tests.support.moment import EPOCH
from tests.support.running_mta import running_mta
from tests.support.signatures import ed25519_key, local_signer, record, signed
from tests.support.smime import root
from tests.support.smime_mail import MESSAGE, berta, encrypt
from tests.support.smtp_peer import smtp_peer

SENDER, BERTA, CARLA = "anna@fabrikam.example", "berta@contoso.example", "carla@contoso.example"
ZONE = {("e._domainkey.fabrikam.example", "TXT"): [f'"{record(ed25519_key()).decode()}"']}


def test_what_is_decrypted_here_loses_the_signature_over_its_envelope(tmp_path: Path) -> None:
    """Berta's copy is opened, so Fabrikam's DKIM signature breaks; Carla's leaves as it came, and says nothing."""
    (tmp_path / "people").mkdir()
    root().write(tmp_path, "root")
    berta().write(tmp_path / "people", BERTA)
    secret = encrypt(MESSAGE.replace(b"anna@contoso", b"anna@fabrikam"), berta(), profile="authenticated")
    secret = signed(secret, local_signer("fabrikam.example", "e", ed25519_key()), now=EPOCH)
    with dns_server(ZONE) as names, smtp_peer() as mailboxes:
        text = f"""
        server: {{hostname: mx.contoso.example, listen: [{{address: "127.0.0.1:{{port}}"}}], workers: 1,
                  log: {{format: json}}, dns: {{nameservers: ["127.0.0.1:{names.port}"]}}}}
        domains:
          contoso.example: {{deliver_to: ["127.0.0.1:{mailboxes.port}"], smime: {{people: people}}}}
        connectors:
          default: {{inbound: {{authentication: {{dmarc: report}}}}, outbound: {{tls: {{level: none}}}}}}
        directory:
          sources: [{{type: harvested}}]
          trust: {{anchors: root.pem, revocation: off}}
        """
        with running_mta(tmp_path, text) as relay:
            opened = send(relay.port, SENDER, [BERTA], secret)
            closed = send(relay.port, SENDER, [CARLA], secret)
            assert opened.accepted, opened
            assert closed.accepted, closed
            mailboxes.wait_for(2)
            logged = relay.wait_for("signature.broken", message=opened.id)
            expected = "e._domainkey.fabrikam.example: the body it signs was changed"
            assert logged["signatures"] == [expected]
            [told] = relay.ask("trace", opened.id)["messages"]
            assert [one["result"] for one in told["accepted"]["authentication"]["dkim"]] == ["pass"]
            assert [one["signatures"] for one in told["events"] if one["event"] == "signature.broken"] == [[expected]]
            assert expected in relay.command("trace", opened.id).stdout
            relay.wait_for("delivery.delivered", message=closed.id)
            [other] = relay.ask("trace", closed.id)["messages"]
            assert "signature.broken" not in [one["event"] for one in other["events"]]
