"""Files are replaced while the relay runs, and nobody tells it: it takes over what is good and keeps the rest."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.scenarios.test_reload import HOST, certify, config, relaying, shown
from tests.support.client import client, send
from tests.support.pki import authority
from tests.support.running_mta import RunningMta, until
from tests.support.smtp_peer import smtp_peer


def watched(text: str) -> str:
    return text.replace("watch: off", "watch: 0.1s")


def is_shown(relay: RunningMta, wanted: str) -> None:
    until(lambda: shown(relay.port) == wanted, describe=relay.story)


def test_a_renewed_certificate_is_taken_over_by_itself_and_the_session_that_is_open_goes_on(tmp_path: Path) -> None:
    with smtp_peer() as peer, relaying(tmp_path, watched(config(peer))) as relay:
        old = shown(relay.port)
        with client(relay.port) as session:
            assert session.send("a@fabrikam.example", ["b@contoso.example"]).accepted
            is_shown(relay, certify(tmp_path))
            assert shown(relay.port) != old
            assert session.send("a@fabrikam.example", ["b@contoso.example"]).accepted
        changed = relay.wait_for("server.files-changed")["files"]
        assert {Path(file).name for file in changed} == {f"{HOST}.pem", f"{HOST}.key"}
        peer.wait_for(2)


def test_a_pair_that_does_not_match_is_refused_once_the_old_one_stays_and_the_right_key_heals_it(
    tmp_path: Path,
) -> None:
    with smtp_peer() as peer, relaying(tmp_path, watched(config(peer))) as relay:
        old = shown(relay.port)
        issued = authority("Contoso Root").issue(dns_names=[HOST])
        (tmp_path / f"{HOST}.pem").write_bytes(issued.chain_pem)
        refusal = relay.wait_for("server.reload-refused")
        assert refusal["level"] == "error"
        assert "the key does not belong to the certificate" in refusal["problems"][0]
        for _ in range(20):  # long enough for a second look, which finds nothing new
            assert shown(relay.port) == old
            assert send(relay.port, "a@fabrikam.example", ["b@contoso.example"]).accepted
        fresh = tmp_path / "fresh.key"
        fresh.write_bytes(issued.key_pem)
        fresh.chmod(0o600)
        os.replace(fresh, tmp_path / f"{HOST}.key")
        until(lambda: shown(relay.port) != old, describe=relay.story)
        assert len(relay.seen("server.reload-refused")) == 1


def test_a_worker_that_dies_while_a_bad_pair_lies_there_is_followed_by_one_with_the_good_one(tmp_path: Path) -> None:
    with smtp_peer() as peer, relaying(tmp_path, watched(config(peer))) as relay:
        old = shown(relay.port)
        (tmp_path / f"{HOST}.pem").write_bytes(authority("Contoso Root").issue(dns_names=[HOST]).chain_pem)
        relay.wait_for("server.reload-refused")
        [worker] = relay.workers()
        os.kill(worker, signal.SIGKILL)
        until(lambda: len(relay.seen("worker.started")) == 2, describe=relay.story)
        assert shown(relay.port) == old
        assert send(relay.port, "a@fabrikam.example", ["b@contoso.example"]).accepted
        assert len(relay.seen("worker.died")) == 1


def test_a_folder_turned_by_a_symbolic_link_is_taken_over(tmp_path: Path) -> None:
    """As Kubernetes renews a secret: `..data` leads to another folder from one moment to the next."""
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
    first, second = certify(tmp_path / "v1"), certify(tmp_path / "v2")
    (tmp_path / "..data").symlink_to("v1")
    for name in (f"{HOST}.pem", f"{HOST}.key"):
        (tmp_path / f"live-{name}").symlink_to(f"..data/{name}")
    with smtp_peer() as peer:
        text = watched(config(peer)).replace("chain: mx", "chain: live-mx").replace("key: mx", "key: live-mx")
        with relaying(tmp_path, text) as relay:
            assert shown(relay.port) == first
            (tmp_path / "fresh").symlink_to("v2")
            os.replace(tmp_path / "fresh", tmp_path / "..data")
            is_shown(relay, second)


def test_a_new_contract_waits_for_the_file_that_it_names(tmp_path: Path) -> None:
    with smtp_peer() as peer, relaying(tmp_path, watched(config(peer))) as relay:
        lists = relay.config.read_text().replace("connector: inside", "connector: inside, recipients: people")
        relay.config.write_text(lists)
        assert "people cannot be read" in relay.wait_for("server.reload-refused")["problems"][0]
        assert send(relay.port, "a@fabrikam.example", ["nobody@contoso.example"]).accepted
        (tmp_path / "people").write_text("b@contoso.example\n")
        relay.wait_for("server.reloaded", worker=0)
        assert not send(relay.port, "a@fabrikam.example", ["nobody@contoso.example"]).accepted
        (tmp_path / "people").write_text("b@contoso.example\nnobody@contoso.example\n")
        until(lambda: send(relay.port, "a@fabrikam.example", ["nobody@contoso.example"]).accepted)
