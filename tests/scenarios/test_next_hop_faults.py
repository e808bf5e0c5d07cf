"""Next hops that are down, slow, rude or break off: each recipient gets the fate that the hop's words mean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.client import client
from tests.support.dns_server import dns_server
from tests.support.outgoing import Outgoing, hosts_on_one_port, outgoing
from tests.support.running_mta import free_port, until
from tests.support.smtp_peer import CLOSE, EXTENSIONS, STALL, Pause, Script, smtp_peer

BOB = "bob@fabrikam.example"


def fabrikam(*ports: int) -> str:
    hosts = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    return f"""
fabrikam:
  domains: [fabrikam.example]
  inbound: {{identity: none}}
  outbound: {{route: {{hosts: [{hosts}]}}, tls: {{level: none}}}}
"""


def status_of(report_of: Outgoing) -> str:
    """The status in the first report that came home."""
    return str(report_of.report().get_payload(1).get_payload(1)["Status"])  # type: ignore[union-attr]


def test_a_host_that_comes_back_gets_the_mail_once_by_the_clock_alone(tmp_path: Path) -> None:
    port = free_port()
    limits = "retry_min: 0.2\nretry_max: 0.4"
    with outgoing(tmp_path, fabrikam(port), limits=limits) as ours:
        id_ = ours.send(BOB)
        ours.waits(id_, 2)
        with smtp_peer(port=port) as peer:
            assert ours.ends(id_) == {BOB: "delivered"}
            assert len(peer.messages) == 1
            assert ours.trace(id_)["recipients"][0]["attempts"] >= 3


@pytest.mark.parametrize("phase", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "DOT"])
def test_no_for_now_waits_and_no_for_good_is_returned(tmp_path: Path, phase: str) -> None:
    with (
        smtp_peer(Script(replies={phase: "450 4.2.1 not now"})) as peer,
        outgoing(tmp_path, fabrikam(peer.port)) as ours,
    ):
        id_ = ours.send(BOB)
        assert "450 4.2.1 not now" in ours.waits(id_)["reason"]
        for_good = {phase: "550 5.7.1 never"} | ({"HELO": "550 5.7.1 never"} if phase == "EHLO" else {})
        peer.script = Script(replies=for_good)
        ours.retry(id_)
        assert ours.ends(id_) == {BOB: "failed"}
        assert status_of(ours) == "5.7.1"
        assert peer.messages == []


def test_a_host_that_knows_no_ehlo_is_greeted_with_helo(tmp_path: Path) -> None:
    with (
        smtp_peer(Script(replies={"EHLO": "502 5.5.1 what?"})) as peer,
        outgoing(tmp_path, fabrikam(peer.port)) as ours,
    ):
        assert ours.ends(ours.send(BOB)) == {BOB: "delivered"}
        assert peer.commands[:3] == [
            "EHLO mx.contoso.example",
            "HELO mx.contoso.example",
            "MAIL FROM:<alice@contoso.example>",
        ]


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "one by one"])
def test_each_recipient_has_a_fate_of_its_own(tmp_path: Path, pipelining: bool) -> None:
    good, busy, unknown = (f"{name}@fabrikam.example" for name in ("good", "busy", "unknown"))
    replies = {busy: "452 4.2.2 mailbox full", unknown: "550 5.1.1 no such user here"}
    extensions = EXTENSIONS if pipelining else EXTENSIONS[1:]
    with (
        smtp_peer(Script(extensions=extensions, recipients=replies)) as peer,
        outgoing(tmp_path, fabrikam(peer.port)) as ours,
    ):
        id_ = ours.send(good, busy, unknown)
        ours.waits(id_)
        assert ours.states(id_) == {good: "delivered", busy: "queued", unknown: "failed"}
        assert peer.messages[0].recipients == (good,)
        part = ours.report().get_payload(1)
        assert part.get_payload(1)["Final-Recipient"].endswith(unknown)  # type: ignore[union-attr]
        assert "no such user here" in part.get_payload(1)["Diagnostic-Code"]  # type: ignore[union-attr]

        peer.script = Script(extensions=extensions)
        ours.retry(id_)
        assert ours.ends(id_) == {good: "delivered", busy: "delivered", unknown: "failed"}
        assert [message.recipients for message in peer.messages] == [(good,), (busy,)]


def test_another_host_is_asked_only_for_those_the_first_one_had_no_answer_for(tmp_path: Path) -> None:
    good, busy, unknown = (f"{name}@fabrikam.example" for name in ("good", "busy", "unknown"))
    replies = {busy: "452 4.2.2 mailbox full", unknown: "550 5.1.1 no such user here"}
    with (
        smtp_peer(Script(recipients=replies)) as first,
        smtp_peer() as second,
        outgoing(tmp_path, fabrikam(first.port, second.port)) as ours,
    ):
        assert ours.ends(ours.send(good, busy, unknown)) == {
            good: "delivered",
            busy: "delivered",
            unknown: "failed",
        }
        assert [message.recipients for message in first.messages] == [(good,)]
        assert [message.recipients for message in second.messages] == [(busy,)]


def test_mail_that_one_host_wants_later_is_not_returned_because_another_wants_none(tmp_path: Path) -> None:
    later = Script(recipients={BOB: "451 4.7.1 greylisted, come again"})
    never = Script(replies={"GREETING": "554 5.3.2 no mail here"})
    with (
        smtp_peer(later) as first,
        smtp_peer(never) as second,
        outgoing(tmp_path, fabrikam(first.port, second.port)) as ours,
    ):
        id_ = ours.send(BOB)
        ours.waits(id_)
        first.script = Script()
        ours.retry(id_)
        assert ours.ends(id_) == {BOB: "delivered"}
        assert ours.home.messages == []


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param({"MAIL": CLOSE}, id="after MAIL"),
        pytest.param({"DATA": CLOSE}, id="after DATA"),
        pytest.param({"CONTENT": CLOSE}, id="in the middle of the content"),
        pytest.param({"DOT": CLOSE}, id="between the final dot and its reply"),
        pytest.param({"DOT": (b"45", CLOSE)}, id="within the reply"),
    ],
)
def test_a_cut_connection_is_no_answer(tmp_path: Path, moment: dict[str, object]) -> None:
    big = b"Subject: big\r\n\r\n" + b"It takes a while.\r\n" * 60_000
    with smtp_peer(Script(replies=moment)) as peer, outgoing(tmp_path, fabrikam(peer.port)) as ours:
        id_ = ours.send(BOB, data=big)
        event = ours.waits(id_)
        assert "conversation: " in event["reason"]
        assert "the connection was closed" in event["reason"]
        assert peer.messages == []
        peer.script = Script()
        ours.retry(id_)
        assert ours.ends(id_) == {BOB: "delivered"}
        [message] = peer.messages
        assert message.data.endswith(big)


STALLS = [
    ("GREETING", "greeting_timeout", "greeting"),
    ("EHLO", "helo_timeout", "helo"),
    ("MAIL", "mail_timeout", "mail"),
    ("RCPT", "rcpt_timeout", "rcpt"),
    ("DATA", "data_init_timeout", "data_init"),
    ("DOT", "data_final_timeout", "data_final"),
]


@pytest.mark.parametrize(("phase", "limit", "word"), STALLS)
def test_a_host_that_falls_silent_costs_its_time_and_no_more(tmp_path: Path, phase: str, limit: str, word: str) -> None:
    with (
        smtp_peer(Script(replies={phase: STALL})) as peer,
        outgoing(tmp_path, fabrikam(peer.port), limits=f"{limit}: 0.3") as ours,
    ):
        id_ = ours.send(BOB)
        assert f"no answer within 0.3 s ({word})" in ours.waits(id_)["reason"]


def test_a_host_that_reads_no_further_is_left(tmp_path: Path) -> None:
    huge = b"Subject: huge\r\n\r\n" + b"x" * 70 + b"\r\n"
    huge += (b"y" * 76 + b"\r\n") * 200_000
    with (
        smtp_peer(Script(replies={"CONTENT": STALL})) as peer,
        outgoing(tmp_path, fabrikam(peer.port), limits="data_block_timeout: 0.5") as ours,
    ):
        id_ = ours.send(BOB, data=huge)
        assert "data_block" in ours.waits(id_)["reason"]


def test_a_slow_host_that_answers_in_time_is_no_fault(tmp_path: Path) -> None:
    slow = {phase: (Pause(0.3), reply) for phase, reply in (("RCPT", "250 ok"), ("DOT", "250 ok"))}
    with (
        smtp_peer(Script(replies=slow)) as peer,
        outgoing(tmp_path, fabrikam(peer.port), limits="rcpt_timeout: 5\ndata_final_timeout: 5") as ours,
    ):
        assert ours.ends(ours.send(BOB)) == {BOB: "delivered"}


WITHOUT = {
    "SIZE": (tuple("SIZE 100" if e.startswith("SIZE") else e for e in EXTENSIONS), "", "5.3.4"),
    "8BITMIME": (tuple(e for e in EXTENSIONS if e != "8BITMIME"), " BODY=8BITMIME", "5.6.3"),
    "SMTPUTF8": (tuple(e for e in EXTENSIONS if e != "SMTPUTF8"), " SMTPUTF8", "5.6.7"),
}


@pytest.mark.parametrize("extension", WITHOUT)
def test_what_a_host_cannot_carry_is_returned_and_not_bent(tmp_path: Path, extension: str) -> None:
    extensions, options, status = WITHOUT[extension]
    header = "Subject: Grüße\r\n" if extension == "SMTPUTF8" else "Subject: greetings\r\n"
    data = (header + "\r\nViele Grüße\r\n").encode()
    with smtp_peer(Script(extensions=extensions)) as peer, outgoing(tmp_path, fabrikam(peer.port)) as ours:
        id_ = ours.send(BOB, data=data, options=options)
        assert ours.ends(id_) == {BOB: "failed"}
        assert status_of(ours) == status
        assert peer.messages == []
        assert not any(command.startswith("DATA") for command in peer.commands)


def test_twenty_messages_share_a_connection(tmp_path: Path) -> None:
    with smtp_peer() as peer:
        limits = "destination_concurrency: 1\nidle_timeout: 30"
        with outgoing(tmp_path, fabrikam(peer.port), limits=limits) as ours:
            ids = [ours.send(BOB) for _ in range(20)]
            peer.wait_for(20)
            for id_ in ids:
                ours.ends(id_)
            assert peer.connections == 1
            assert ours.attempts(ids[-1])[0]["reused"] is True
            assert len({peer.messages[n].data for n in range(20)}) == 20  # each its own trace fields


def test_a_connection_serves_so_many_messages_and_no_more(tmp_path: Path) -> None:
    with smtp_peer() as peer:
        limits = "destination_concurrency: 1\nidle_timeout: 30\nmessages_per_connection: 5"
        with outgoing(tmp_path, fabrikam(peer.port), limits=limits) as ours:
            for _ in range(12):
                ours.send(BOB)
            peer.wait_for(12)
            assert peer.connections == 3


@pytest.mark.parametrize("farewell", [CLOSE, ("421 4.4.2 idle too long", CLOSE)], ids=["silently", "with 421"])
def test_a_kept_connection_that_the_host_has_closed_is_no_attempt(tmp_path: Path, farewell: object) -> None:
    said = ("250 2.0.0 taken", Pause(0.2), *(farewell if isinstance(farewell, tuple) else (farewell,)))
    with (
        smtp_peer(Script(replies={"DOT": said})) as peer,
        outgoing(tmp_path, fabrikam(peer.port), limits="idle_timeout: 30") as ours,
    ):
        for count in (1, 2, 3):
            id_ = ours.send(BOB)
            assert ours.ends(id_) == {BOB: "delivered"}
            assert len(ours.trace(id_)["events"]) == 1
            assert ours.trace(id_)["recipients"][0]["attempts"] == 1
            assert len(peer.messages) == count
            until(lambda count=count: len(re.findall(r"^EHLO", "\n".join(peer.commands), re.MULTILINE)) >= count)
        assert ours.relay.seen("delivery.deferred") == []


def test_an_idle_connection_is_given_back_with_quit(tmp_path: Path) -> None:
    with smtp_peer() as peer, outgoing(tmp_path, fabrikam(peer.port), limits="idle_timeout: 0.1") as ours:
        ours.send(BOB)
        peer.wait_for_command("QUIT")
        assert len(peer.messages) == 1


def test_a_destination_gets_so_many_connections_and_no_more(tmp_path: Path) -> None:
    with (
        smtp_peer(Script(replies={"DOT": (Pause(0.2), "250 2.0.0 taken")})) as peer,
        outgoing(tmp_path, fabrikam(peer.port), limits="destination_concurrency: 3\nidle_timeout: 30") as ours,
    ):
        for _ in range(12):
            ours.send(BOB)
        peer.wait_for(12)
        assert peer.connections == 3


def test_many_recipients_go_in_several_transactions(tmp_path: Path) -> None:
    everybody = [f"u{n}@fabrikam.example" for n in range(7)]
    with smtp_peer() as peer, outgoing(tmp_path, fabrikam(peer.port), limits="destination_recipients: 3") as ours:
        states = ours.ends(ours.send(*everybody))
        assert states == dict.fromkeys(everybody, "delivered")
        assert sorted(len(message.rcpts) for message in peer.messages) == [1, 3, 3]
        assert sorted(each for message in peer.messages for each in message.recipients) == everybody


def test_a_host_that_states_its_limits_is_given_no_more(tmp_path: Path) -> None:
    everybody = [f"u{n}@fabrikam.example" for n in range(7)]
    script = Script(extensions=(*EXTENSIONS, "LIMITS RCPTMAX=2 MAILMAX=3"))
    with smtp_peer(script) as peer, outgoing(tmp_path, fabrikam(peer.port), limits="idle_timeout: 30") as ours:
        id_ = ours.send(*everybody)
        assert ours.ends(id_) == dict.fromkeys(everybody, "delivered")
        assert [len(message.rcpts) for message in peer.messages] == [2, 2, 2, 1]
        assert [each for message in peer.messages for each in message.recipients] == everybody
        assert peer.connections == 2
        assert {each["attempts"] for each in ours.trace(id_)["recipients"]} == {1}


def test_a_host_that_failed_is_left_alone_for_a_while(tmp_path: Path) -> None:
    with (
        smtp_peer(Script(replies={"GREETING": "421 4.3.2 too busy"})) as peer,
        outgoing(tmp_path, fabrikam(peer.port), limits="host_backoff: 60") as ours,
    ):
        first = ours.send(BOB)
        ours.waits(first)
        second = ours.send(BOB)
        assert f"is tried with message {first}; the last time greeting: " in ours.waits(second)["reason"]
        assert peer.connections == 1
        peer.script = Script()
        ours.retry(second)  # an administrator's word counts more
        assert ours.ends(second) == {BOB: "delivered"}


def test_one_slow_destination_does_not_hold_up_the_others(tmp_path: Path) -> None:
    zone = {("slow.example", "A"): ["127.0.0.1"], ("quick.example", "A"): ["127.0.0.2"]}
    stalling = Script(replies={"GREETING": STALL})
    places = (("127.0.0.1", stalling), ("127.0.0.2", None))
    with hosts_on_one_port(*places) as (slow, quick), dns_server(zone) as dns:
        connectors = f"default: {{outbound: {{route: mx, port: {slow.port}, tls: {{level: none}}}}}}"
        limits = "destination_concurrency: 2\nshutdown_timeout: 0.5"
        with outgoing(tmp_path, connectors, dns=dns, limits=limits) as ours:
            for n in range(6):
                ours.send(f"bob{n}@slow.example")
            id_ = ours.send("bob@quick.example", "bob@slow.example")
            quick.wait_for(1)
            until(lambda: ours.states(id_)["bob@quick.example"] == "delivered")
            assert ours.states(id_)["bob@slow.example"] == "queued"
            assert slow.connections == 2


def test_a_relay_that_stops_in_the_middle_of_a_delivery_sends_it_after_its_next_start(tmp_path: Path) -> None:
    with (
        smtp_peer(Script(replies={"DATA": STALL})) as peer,
        outgoing(tmp_path, fabrikam(peer.port), limits="shutdown_timeout: 0.3") as ours,
    ):
        id_ = ours.send(BOB)
        peer.wait_for_command("DATA")
        assert ours.relay.stop() == 0
        assert ours.states(id_) == {BOB: "queued"}
        peer.script = Script()
        with outgoing(tmp_path, fabrikam(peer.port)) as again:
            assert again.ends(id_) == {BOB: "delivered"}
            assert len(peer.messages) == 1


def test_an_odd_line_within_content_stays_as_it_is(tmp_path: Path) -> None:
    data = b"Subject: dots\r\n\r\n.\r\n..\r\n.leading\r\nlast.\r\n.\r\n"
    with smtp_peer() as peer, outgoing(tmp_path, fabrikam(peer.port)) as ours:
        ours.send(BOB, data=data)
        [message] = peer.wait_for(1)
        assert message.data.endswith(data)
        with client(ours.relay.port) as session:
            assert session.send("alice@contoso.example", [BOB], data).accepted
        assert peer.wait_for(2)[1].data.endswith(data)
