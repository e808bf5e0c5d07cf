"""What a sender hears of mail that did not arrive, that is late, or whose arrival it asked to be told of."""

from __future__ import annotations

import textwrap
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import client
from tests.support.outgoing import ALICE, Outgoing, outgoing
from tests.support.running_mta import free_port, running_mta, until
from tests.support.smtp_peer import EXTENSIONS, Script, smtp_peer

BOB = "bob@fabrikam.example"
NEVER = {BOB: "550-5.1.1 we looked for Bob\r\n550 5.1.1 but he is not here"}
NO_DSN = tuple(extension for extension in EXTENSIONS if extension != "DSN")
BODY = b"From: Alice <alice@contoso.example>\r\nSubject: the plan\r\n\r\nWe begin at noon.\r\n"
IMPATIENT = "retry_min: 0.1\nretry_max: 0.2"


def fabrikam(port: int) -> str:
    return f"""
fabrikam:
  domains: [fabrikam.example]
  inbound: {{identity: none}}
  outbound: {{route: {{hosts: ["127.0.0.1:{port}"]}}, tls: {{level: none}}}}
"""


def parts(report: Message) -> list[Any]:
    """For people, for machines, and the original."""
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert not report.defects
    return list(report.get_payload())  # type: ignore[arg-type]


def notices(ours: Outgoing) -> list[str]:
    """The kinds of all reports the relay has written so far, oldest first."""
    messages = sorted(ours.ask("trace")["messages"], key=lambda message: message["received"])
    return [message["accepted"]["notice"] for message in messages if "notice" in message["accepted"]]


def test_a_refusal_comes_home_in_the_words_of_the_one_who_refused(tmp_path: Path) -> None:
    with smtp_peer(Script(recipients=NEVER)) as peer, outgoing(tmp_path, fabrikam(peer.port)) as ours:
        ours.send(f"{BOB}> ORCPT=rfc822;Bobby+2Btag@fabrikam.example", data=BODY, options=" ENVID=QQ+2B31 RET=FULL")
        report = ours.report()
        [arrived] = ours.home.messages
        assert (arrived.sender, arrived.recipients) == ("", (ALICE,))
        assert report["To"] == f"<{ALICE}>"
        assert report["Auto-Submitted"].startswith("auto-replied")
        words, fields, original = parts(report)
        assert "we looked for Bob" in words.get_payload()
        assert "Check the address" in words.get_payload()
        envelope, bob = fields.get_payload()
        assert envelope["Reporting-MTA"] == "dns; mx.contoso.example"
        assert envelope["Original-Envelope-Id"] == "QQ+31"
        assert bob["Original-Recipient"] == "rfc822; Bobby+tag@fabrikam.example"
        assert bob["Final-Recipient"] == f"rfc822; {BOB}"
        assert (bob["Action"], bob["Status"]) == ("failed", "5.1.1")
        assert bob["Remote-MTA"] == "dns; 127.0.0.1"
        assert bob["Diagnostic-Code"].startswith("smtp; 550 5.1.1 we looked for Bob")
        assert original.get_content_type() == "message/rfc822"
        assert original.get_payload(0)["Subject"] == "the plan"
        assert "We begin at noon." in original.get_payload(0).get_payload()


def test_several_refusals_of_one_message_come_in_one_report(tmp_path: Path) -> None:
    script = Script(recipients={"a@fabrikam.example": "550 5.1.1 no a", "b@fabrikam.example": "552 5.2.2 b is full"})
    with smtp_peer(script) as peer, outgoing(tmp_path, fabrikam(peer.port)) as ours:
        ours.ends(ours.send("a@fabrikam.example", "b@fabrikam.example", "c@fabrikam.example"))
        _, a, b = parts(ours.report())[1].get_payload()
        assert [a["Status"], b["Status"]] == ["5.1.1", "5.2.2"]
        assert notices(ours) == ["failure"]


@pytest.mark.parametrize(
    ("ret", "size", "kind"),
    [
        pytest.param(" RET=HDRS", 0, "text/rfc822-headers", id="the sender wants the header alone"),
        pytest.param("", 0, "message/rfc822", id="the sender said nothing"),
        pytest.param("", 100_000, "text/rfc822-headers", id="it is large"),
        pytest.param(" RET=FULL", 400_000, "text/rfc822-headers", id="it is very large"),
    ],
)
def test_so_much_of_the_original_comes_back(tmp_path: Path, ret: str, size: int, kind: str) -> None:
    data = BODY + b"All the details follow.\r\n" * (size // 25)
    with smtp_peer(Script(recipients=NEVER)) as peer, outgoing(tmp_path, fabrikam(peer.port)) as ours:
        ours.send(BOB, data=data, options=ret)
        original = parts(ours.report())[2]
        assert original.get_content_type() == kind
        assert ("We begin" in original.as_string()) == (kind == "message/rfc822")
        assert "Subject: the plan" in original.as_string()


@pytest.mark.parametrize(
    ("notify", "told"), [("NEVER", []), ("SUCCESS", []), ("DELAY", []), ("FAILURE", ["failure"]), ("", ["failure"])]
)
def test_a_failure_is_told_to_those_who_want_to_hear_of_it(tmp_path: Path, notify: str, told: list[str]) -> None:
    with smtp_peer(Script(recipients=NEVER)) as peer, outgoing(tmp_path, fabrikam(peer.port)) as ours:
        assert ours.ends(ours.send(f"{BOB}> NOTIFY={notify}" if notify else BOB)) == {BOB: "failed"}
        assert notices(ours) == told


def test_the_null_sender_is_never_answered_but_the_postmaster_hears_of_it(tmp_path: Path) -> None:
    with smtp_peer(Script(recipients=NEVER)) as peer, outgoing(tmp_path, fabrikam(peer.port)) as ours:
        ours.ends(ours.send(BOB, sender=""))
        report = ours.report()
        [arrived] = ours.home.messages
        assert (arrived.sender, arrived.recipients) == ("", ("postmaster@contoso.example",))
        assert parts(report)[1].get_payload(1)["Final-Recipient"] == f"rfc822; {BOB}"
        assert notices(ours) == ["double-bounce"]


def test_reports_that_cannot_be_delivered_either_come_to_an_end(tmp_path: Path) -> None:
    nobody = Script(replies={"RCPT": "550 5.1.1 nobody lives here"})
    with smtp_peer(Script(recipients=NEVER)) as peer, outgoing(tmp_path, fabrikam(peer.port), home=nobody) as ours:
        ours.ends(ours.send(BOB))
        until(lambda: len(ours.relay.seen("delivery.failed")) == 3)  # the mail, its report, the postmaster's report
        assert notices(ours) == ["failure", "double-bounce"]
        assert ours.ask("list")["messages"] == []


def test_dsn_parameters_go_to_a_host_that_knows_them_and_the_rest_is_its_duty(tmp_path: Path) -> None:
    with smtp_peer() as peer, outgoing(tmp_path, fabrikam(peer.port)) as ours:
        rcpt = f"{BOB}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bobby+2Btag@fabrikam.example"
        ours.ends(ours.send(rcpt, options=" RET=HDRS ENVID=QQ314159"))
        [message] = peer.messages
        assert message.mail.split()[0] == f"<{ALICE}>"
        assert {"RET=HDRS", "ENVID=QQ314159"} < set(message.mail.split())
        assert set(message.rcpts[0].split()[1:]) == {
            "NOTIFY=SUCCESS,FAILURE",
            "ORCPT=rfc822;Bobby+2Btag@fabrikam.example",
        }
        assert notices(ours) == []


def test_where_dsn_ends_the_sender_who_asked_is_told_that_it_was_handed_on(tmp_path: Path) -> None:
    with smtp_peer(Script(extensions=NO_DSN)) as peer, outgoing(tmp_path, fabrikam(peer.port)) as ours:
        carol = "carol@fabrikam.example"
        ours.ends(ours.send(f"{BOB}> NOTIFY=SUCCESS", carol, options=" RET=HDRS ENVID=QQ314159"))
        [message] = peer.messages
        assert not any(word in message.mail + "".join(message.rcpts) for word in ("RET", "ENVID", "NOTIFY", "ORCPT"))
        _, bob = parts(ours.report())[1].get_payload()  # Carol's success was not asked for
        assert (bob["Final-Recipient"], bob["Action"]) == (f"rfc822; {BOB}", "relayed")
        assert bob["Status"].startswith("2.")
        assert notices(ours) == ["relayed"]


def test_a_delay_is_told_once(tmp_path: Path) -> None:
    limits = f"{IMPATIENT}\ndelay_warning: 0.3"
    with outgoing(tmp_path, fabrikam(free_port()), limits=limits) as ours:
        id_ = ours.send(BOB)
        _, bob = parts(ours.report())[1].get_payload()
        assert (bob["Action"], bob["Status"][:2]) == ("delayed", "4.")
        assert bob["Will-Retry-Until"]
        assert "Connection refused" in bob["Diagnostic-Code"]
        tried = ours.trace(id_)["recipients"][0]["attempts"]
        until(lambda: ours.trace(id_)["recipients"][0]["attempts"] > tried + 3)
        assert notices(ours) == ["delay"]


def test_a_delay_is_not_told_to_whom_it_does_not_concern(tmp_path: Path) -> None:
    limits = f"{IMPATIENT}\ndelay_warning: 0.3\nlifetime: 1"
    with outgoing(tmp_path, fabrikam(free_port()), limits=limits) as ours:
        assert ours.ends(ours.send(f"{BOB}> NOTIFY=FAILURE")) == {BOB: "expired"}
        assert notices(ours) == ["failure"]


def test_mail_that_waited_in_vain_is_given_up_with_its_last_reason(tmp_path: Path) -> None:
    with outgoing(tmp_path, fabrikam(free_port()), limits=f"{IMPATIENT}\nlifetime: 0.5") as ours:
        id_ = ours.send(BOB, data=BODY)
        words, fields, original = parts(ours.report())
        assert ours.states(id_) == {BOB: "expired"}
        bob = fields.get_payload(1)
        assert (bob["Action"], bob["Status"]) == ("failed", "4.4.7")
        assert "Connection refused" in bob["Diagnostic-Code"]
        assert "given up after" in words.get_payload()
        assert "We begin" in original.as_string()
        assert ours.relay.seen("message.expired", message=id_)


def test_a_bounce_that_waits_in_vain_is_dropped_after_its_own_time(tmp_path: Path) -> None:
    later = Script(replies={"RCPT": "451 4.2.0 later"})
    limits = f"{IMPATIENT}\nbounce_lifetime: 0.3"
    with (
        smtp_peer(Script(recipients=NEVER)) as peer,
        outgoing(tmp_path, fabrikam(peer.port), limits=limits, home=later) as ours,
    ):
        ours.send(BOB)
        until(lambda: len(ours.relay.seen("message.expired")) == 2)  # Alice's report, then the postmaster's
        assert notices(ours) == ["failure", "double-bounce"]
        assert ours.ask("list")["messages"] == []


def test_an_internationalised_sender_gets_a_report_in_its_own_terms(tmp_path: Path) -> None:
    with smtp_peer(Script(recipients=NEVER)) as peer, outgoing(tmp_path, fabrikam(peer.port)) as ours:
        ours.send(BOB, sender="jürgen@contoso.example", options=" SMTPUTF8")
        [arrived] = ours.home.wait_for(1)
        assert "SMTPUTF8" in arrived.mail
        assert arrived.recipients == ("jürgen@contoso.example",)
        assert "message/global-delivery-status" in arrived.data.decode()


def test_mail_that_has_passed_too_many_hosts_is_refused(tmp_path: Path) -> None:
    travelled = b"Received: from a by b; Mon, 23 Nov 2026 10:00:00 +0000\r\n" * 6 + BODY
    with (
        smtp_peer() as peer,
        outgoing(tmp_path, fabrikam(peer.port), limits="hops: 5") as ours,
        client(ours.relay.port) as session,
    ):
        assert session.send(ALICE, [BOB], travelled).data.startswith("554 5.4.6")
        assert not ours.ask("trace").get("messages")


def test_mail_that_two_relays_throw_to_each_other_comes_back_to_its_sender(tmp_path: Path) -> None:
    ours_port, theirs_port = free_port(), free_port()
    theirs = f"""
        server:
          hostname: mx.fabrikam.example
          listen: [{{address: "127.0.0.1:{{port}}"}}]
          workers: 1
          limits: {{hops: 6}}
        connectors:
          friends: {{relay: true, inbound: {{networks: [127.0.0.0/8]}}}}
          default: {{outbound: {{route: {{hosts: ["127.0.0.1:{ours_port}"]}}, tls: {{level: none}}}}}}
    """
    folder = tmp_path / "theirs"
    folder.mkdir()
    with (
        running_mta(folder, textwrap.dedent(theirs), port=theirs_port),
        outgoing(tmp_path, fabrikam(theirs_port), port=ours_port, limits="hops: 6") as ours,
    ):
        ours.send(BOB, data=BODY)
        report = ours.report()
        assert parts(report)[1].get_payload(1)["Status"] == "5.4.6"
        assert parts(report)[1].get_payload(1)["Final-Recipient"] == f"rfc822; {BOB}"
        assert len(ours.home.messages) == 1
