"""What Prometheus reads tells what happened, of every worker, and what ends when."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.client import Tls, send
from tests.support.outgoing import outgoing
from tests.support.patience import PATIENCE
from tests.support.pki import authority
from tests.support.running_mta import free_port, mta, until
from tests.support.smtp_peer import PeerTls, Script, smtp_peer

NAME = "mail.fabrikam.example"
CONNECTORS = """
fabrikam:
  domains: [fabrikam.example]
  inbound: {{tls: {{client_certificate: {{names: [{name}], ca: ca.pem}}}}}}
  outbound: {{route: {{hosts: ["127.0.0.1:{port}"]}}, tls: {{names: [{name}], ca: ca.pem}}}}
"""


def read(port: int) -> dict[tuple[str, ...], float]:
    """Samples by their name and the values of their labels in order of the labels' names, without the worker."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
        text = answer.read().decode()
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = (value for name, value in sorted(sample.labels.items()) if name != "worker")
            key = (sample.name, *labels)
            found[key] = found.get(key, 0) + sample.value
    return found


def test_what_happens_is_counted_by_connector_and_reason(tmp_path: Path) -> None:
    ca = authority("Metrics Root")
    ca.write(tmp_path / "ca.pem")
    chain, key = ca.issue(dns_names=[NAME]).write(tmp_path, "theirs")
    ca.issue(dns_names=["mx.contoso.example"]).write(tmp_path, "ours")
    port = free_port()
    server = (
        f'certificate: {{chain: ours.pem, key: ours.key}}\nmetrics: {{address: "127.0.0.1:{port}"}}\n'
        "workers: 2\nwatch: 0.1s"
    )
    with smtp_peer(Script(tls=PeerTls(str(chain), str(key)))) as partner:
        text = CONNECTORS.format(name=NAME, port=partner.port)
        with outgoing(tmp_path, text, server=server) as ours:
            ours.ends(ours.send("bob@fabrikam.example"))
            assert not send(ours.relay.port, "a@fabrikam.example", ["b@contoso.example"], tls=Tls()).accepted
            found = read(port)
            assert found["mta_messages_accepted_total", "internal", "none"] == 1
            assert found["mta_deliveries_total", "fabrikam", "delivered", "verified"] == 1
            assert found["mta_outbound_tls_total", "fabrikam", "1.3"] == 1
            assert found["mta_messages_refused_total", "fabrikam", "no-certificate", "MAIL"] == 1
            assert [value for key, value in found.items() if key[0] == "mta_tls_handshakes_total"] == [1]
            assert found[("mta_worker_up",)] == 2
            assert found["mta_queue_recipients", "delivered"] == 1
            assert found["mta_time_in_queue_seconds_count", "fabrikam", "delivered"] == 1
            assert found[("mta_commits_total",)] >= 2
            assert found[("mta_commit_jobs_total",)] >= found[("mta_commits_total",)]
            assert found[("mta_commit_seconds_total",)] > 0
            for path, said in (("ready", b"ready\n"), ("health", b"alive\n")):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=PATIENCE) as answer:
                    assert answer.read() == said
            assert found["mta_certificate_days_left", "own", "CN=mx.contoso.example", "server.certificate"] == 89
            (tmp_path / "ours.key").write_bytes(ca.issue(dns_names=["x.example"]).key_pem)
            until(lambda: read(port).get(("mta_reloads_total", "refused")) == 1, describe=ours.relay.story)


CLEAR = """
fabrikam:
  domains: [fabrikam.example]
  inbound: {{identity: none}}
  outbound: {{route: {{hosts: ["127.0.0.1:{0}"]}}, tls: {{level: none}}}}
northwind:
  domains: [northwind.example]
  inbound: {{identity: none}}
  outbound: {{route: {{hosts: ["127.0.0.1:{1}"]}}, tls: {{level: none}}}}
"""


def test_what_was_never_dialled_did_not_go_in_clear(tmp_path: Path) -> None:
    port, nobody = free_port(), free_port()
    fates = Script(replies={"RCPT": ["250 2.1.5 taken", "550 5.1.1 nobody here"]})
    with (
        smtp_peer(fates) as partner,
        outgoing(
            tmp_path, CLEAR.format(partner.port, nobody), server=f'metrics: {{address: "127.0.0.1:{port}"}}'
        ) as ours,
    ):
        ours.ends(ours.send("bob@fabrikam.example", "carol@fabrikam.example"))
        ours.waits(ours.send("dave@northwind.example"))
        found = {key[1:]: value for key, value in read(port).items() if key[0] == "mta_outbound_tls_total"}
        assert found[("fabrikam", "none")] == 1  # one attempt, whatever became of its recipients
        assert not any(key[0] == "northwind" for key in found)
        oldest = {key[1]: value for key, value in read(port).items() if key[0] == "mta_queue_oldest_seconds"}
        assert oldest.keys() == {"northwind"}
        assert 0 <= oldest["northwind"] < 3600


def test_an_address_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "connectors.yaml"
    config.write_text(
        f'server: {{hostname: a.example, listen: [{{address: "127.0.0.1:{port}"}}], '
        f'metrics: {{address: "127.0.0.1:{port}"}}}}\n'
    )
    done = mta("serve", "--config", str(config))
    assert done.returncode == 2
    assert str(port) in done.stderr
