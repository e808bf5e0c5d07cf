"""The relay looks at its partners by itself: what will break, and what has changed, is told once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.support.outgoing import Outgoing, outgoing
from tests.support.pki import NOW, Authority
from tests.support.running_mta import until
from tests.support.smtp_peer import PeerTls, Script, smtp_peer

NAME = "mail.fabrikam.example"
FABRIKAM, RIVAL = Authority("Fabrikam Root"), Authority("Rival Root")
SOON = FABRIKAM.issue(dns_names=[NAME], not_after=NOW + timedelta(days=10, hours=1))
RENEWED = RIVAL.issue(dns_names=[NAME])
CONNECTORS = """
fabrikam:
  domains: [fabrikam.example]
  inbound: {{identity: none}}
  outbound: {{route: {{hosts: ["127.0.0.1:{port}"]}}, tls: {{names: [mail.fabrikam.example], ca: roots.pem}}}}
left-alone:
  probe: false
  domains: [alone.example]
  inbound: {{identity: none}}
  outbound: {{route: {{hosts: ["127.0.0.1:1"]}}}}
"""


def alarms(ours: Outgoing) -> list[str]:
    return [line["alarm"] for line in ours.relay.seen("alarm")]


def rounds(ours: Outgoing, more: int) -> None:
    """Wait until so many further rounds have been made."""
    before = len(ours.relay.seen("probe.done"))
    until(lambda: len(ours.relay.seen("probe.done")) >= before + more, describe=ours.relay.story)


def test_an_end_in_sight_and_another_issuer_are_told_once_each_also_after_a_restart(tmp_path: Path) -> None:
    FABRIKAM.write(tmp_path / "roots.pem")
    with open(tmp_path / "roots.pem", "ab") as roots:
        roots.write(RIVAL.write(tmp_path / "rival.pem").read_bytes())
    scripts = []
    for name, issued in (("soon", SOON), ("renewed", RENEWED)):
        chain, key = issued.write(tmp_path, name)
        scripts.append(Script(tls=PeerTls(str(chain), str(key))))
    with smtp_peer(scripts[0]) as partner:
        text = CONNECTORS.format(port=partner.port)
        with outgoing(tmp_path, text, server="probe: {every: 0.2s, warn: 14d}") as ours:
            line = ours.relay.wait_for("alarm", alarm="partner-certificate-expires")
            assert line["level"] == "error"
            assert line["where"] == f"fabrikam/127.0.0.1:{partner.port}"
            assert "expires in 10 days" in line["text"]
            rounds(ours, 1)
            assert alarms(ours) == ["partner-certificate-expires"]
            message = ours.report()
            assert message["To"] == "<postmaster@contoso.example>"
            assert "expires in 10 days (partner-certificate-expires)" in " ".join(message.get_payload().split())
            assert partner.messages == []
        with outgoing(tmp_path, text, server="probe: {every: 0.2s, warn: 14d}") as ours:
            rounds(ours, 1)
            assert alarms(ours) == [], "it was told before the restart"
            partner.script = scripts[1]
            ours.relay.wait_for("alarm", alarm="partner-issuer-changed")
            rounds(ours, 1)
            assert sorted(alarms(ours)) == ["partner-issuer-changed", "partner-key-changed"]
            assert "is issued by CN=Rival Root now" in " ".join(ours.report().get_payload().split())
            listed = ours.relay.ask("certs", "list")["certificates"]
            [row] = [each for each in listed if each["kind"] == "partner"]
            assert (row["subject"], row["issuer"]) == (f"CN={NAME}", "CN=Rival Root")
            partner.script = Script()
            line = ours.relay.wait_for("alarm", alarm="partner-not-reachable")
            assert "starttls-not-offered" in line["text"]
