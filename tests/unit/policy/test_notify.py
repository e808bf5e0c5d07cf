"""Who is told what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from email import message_from_bytes
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.contract.connectors import Connector
from mta.contract.outbound import Outbound, OutboundTls
from mta.contract.server import Server
from mta.contract.smime import Smime
from mta.model.address import Mailbox
from mta.model.attempt import DeliveryResult, Failure, HostAttempt, RecipientResult, Scope
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.model.published import DanePublished, Published, StsPublished
from mta.model.reply import Reply
from mta.model.tls import TlsFacts, TlsLevel
from mta.model.word import Word
from mta.policy.notify import Notice, Occasion, may_return, notices
from mta.ports import RecipientFate
from mta.rfc.dsn.compose import compose
from tests.unit.policy.world import certificate, configuration, tls

NOW = 1_767_604_987.0
SERVER = Server("mx.contoso.example", "postmaster@contoso.example", "mx.contoso.example", ())
ALICE = Mailbox("alice", "contoso.example", "contoso.example")
BOB = Mailbox("bob", "fabrikam.example", "fabrikam.example")
POSTMASTER = Mailbox("Postmaster", "Contoso.Example", "contoso.example")
ORIGINAL = b"Subject: secret\r\n\r\nThe plaintext.\r\n"
UNKNOWN = Reply(550, "5.1.1", ("No such user",))
PLACE = HostAttempt(
    "mail.fabrikam.example",
    25,
    "192.0.2.1",
    tls=TlsFacts("1.3", "TLS_AES_256_GCM_SHA384"),
    requirement="verified:mail.fabrikam.example",
    verdict="tls=verified",
    published=Published(DanePublished("none"), StsPublished("named")),
)


def occasion(
    *states: str,
    sender: Mailbox | None = ALICE,
    notify: tuple[str, ...] = (),
    to: Mailbox = BOB,
    ret: str = "",
    size: int = len(ORIGINAL),
    dsn_passed: bool = False,
    warned: bool = True,
    problem: Failure | None = None,
    content: str = "full",
) -> Occasion:
    """A message of one recipient per state, each having just arrived at that state."""
    recipients = tuple(Recipient(to, notify, "rfc822;bob@fabrikam.example") for _ in states)
    fates, outcomes = [], []
    for index, state in enumerate(states):
        fates.append(RecipientFate(index, state, f"why {index}", warned=warned and state == "queued"))
        refused = problem or Failure(Scope.RECIPIENT, Word.REFUSED, "RCPT", UNKNOWN, True)
        delivered = state == "delivered"
        outcomes.append(
            RecipientResult(
                index,
                Reply(250, "2.1.5", ("OK",)) if delivered else refused.reply,
                None if delivered else refused,
                dsn_passed=dsn_passed and delivered,
            )
        )
    message = QueuedMessage(
        "orig",
        Envelope(sender, recipients, ret=ret, envid="QQ314159"),
        Content(size, ORIGINAL),
        b"",
        NOW - 60,
        "default",
        tuple(RecipientState(i, "c") for i in range(len(states))),
    )
    return Occasion(message, tuple(fates), DeliveryResult((PLACE,), tuple(outcomes)), NOW, content)


def ids() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"dsn{next(numbers)}"


def told(occasion: Occasion) -> tuple[Notice, ...]:
    return notices(occasion, SERVER, ids())


@pytest.mark.parametrize(
    ("state", "notify", "kind"),
    [
        ("failed", (), "failure"),
        ("failed", ("FAILURE",), "failure"),
        ("failed", ("NEVER",), ""),
        ("failed", ("SUCCESS",), ""),
        ("failed", ("DELAY", "SUCCESS"), ""),
        ("expired", (), "failure"),
        ("expired", ("NEVER",), ""),
        ("queued", (), "delay"),
        ("delivered", (), ""),
        ("delivered", ("SUCCESS",), "relayed"),
        ("delivered", ("NEVER",), ""),
        ("delivered", ("FAILURE", "DELAY"), ""),
        ("held", (), ""),
    ],
)
def test_the_sender_hears_what_was_asked_for(state: str, notify: tuple[str, ...], kind: str) -> None:
    found = told(occasion(state, notify=notify))
    assert [notice.kind for notice in found] == ([kind] if kind else [])
    assert all(notice.to == ALICE for notice in found)


def test_a_hop_that_takes_over_the_duty_reports_the_success_itself() -> None:
    assert told(occasion("delivered", notify=("SUCCESS",), dsn_passed=True)) == ()


def test_waiting_without_a_due_warning_is_not_told() -> None:
    assert told(occasion("queued", warned=False)) == ()


def test_recipients_that_share_a_fate_share_a_notice() -> None:
    found = told(occasion("failed", "delivered", "expired", "queued", notify=("SUCCESS", "FAILURE", "DELAY")))
    assert {notice.kind: notice.indices for notice in found} == {"failure": (0, 2), "relayed": (1,), "delay": (3,)}
    assert len({notice.id for notice in found}) == 3


def test_a_failure_tells_machines_and_people_what_happened() -> None:
    (notice,) = told(occasion("failed"))
    text = compose(notice.report, ORIGINAL).decode()
    for line in (
        "To: <alice@contoso.example>\r\n",
        "Original-Envelope-Id: QQ314159\r\n",
        "Final-Recipient: rfc822; bob@fabrikam.example\r\n",
        "Action: failed\r\n",
        "Status: 5.1.1\r\n",
        "Remote-MTA: dns; mail.fabrikam.example\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n",
        "    why 0\r\n",
        "    What to do: Check the address",
    ):
        assert line in text
    assert (
        "TLS: TLS 1.3 with TLS_AES_256_GCM_SHA384; published: DANE none, MTA-STS named; "
        "demanded verified:mail.fabrikam.example; tls=verified" in " ".join(text.split())
    )


def test_a_report_names_the_certificate_that_the_host_showed() -> None:
    leaf = certificate(dns_names=("mail.fabrikam.example",), ip_addresses=("192.0.2.1",), not_after=1_800_000_000.0)
    place = replace(
        PLACE,
        tls=replace(tls(leaf), group="X25519MLKEM768"),
        verdict="tls=encrypted!verified",
        published=None,
        revocation="revoked: CN=mail.fabrikam.example is in the list of its issuer",
    )
    before = occasion("failed")
    (notice,) = told(replace(before, result=replace(before.result, hosts=(place,))))
    text = " ".join(compose(notice.report, ORIGINAL).decode().split())
    assert (
        "certificate CN=mail.fabrikam.example for mail.fabrikam.example, 192.0.2.1, issued by fabrikam-ca.pem, valid "
        "until 2027-01-15, revoked: CN=mail.fabrikam.example is in the list of its issuer; demanded" in text
    )


@pytest.mark.parametrize(
    ("state", "reply", "status", "action"),
    [
        ("failed", Reply(550), "5.0.0", "failed"),
        ("failed", Reply(550, "5.7.1"), "5.7.1", "failed"),
        ("failed", Reply(550, "4.7.1"), "5.0.0", "failed"),
        ("expired", Reply(450, "4.2.1"), "4.4.7", "failed"),
        ("queued", Reply(450, "4.2.1"), "4.2.1", "delayed"),
        ("queued", Reply(554, "5.0.1"), "4.0.0", "delayed"),
        ("delivered", Reply(250, "2.1.5"), "2.1.5", "relayed"),
    ],
)
def test_the_status_fits_the_action(state: str, reply: Reply, status: str, action: str) -> None:
    problem = Failure(Scope.RECIPIENT, Word.REFUSED, "story", reply, True)
    (notice,) = told(occasion(state, problem=problem, notify=("SUCCESS", "FAILURE", "DELAY")))
    assert (notice.report.recipients[0].status, notice.report.recipients[0].action) == (status, action)


def test_our_own_reason_is_not_passed_off_as_the_peers_word() -> None:
    problem = Failure(
        Scope.HOST, Word.CERTIFICATE_NAME, "the certificate names another host", Reply(550, "5.7.5"), True
    )
    (notice,) = told(occasion("failed", problem=problem))
    text = compose(notice.report, ORIGINAL).decode()
    assert "Diagnostic-Code: X-mta; certificate-name: the certificate names another host\r\n" in text
    assert "Its answer" not in text


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(450, "4.7.5"), "A rule of one of the two mail systems"),
        (Reply(421, "4.4.2"), "The other mail system could"),
    ],
)
def test_what_to_do_about_expired_mail_depends_on_what_stood_in_its_way(reply: Reply, words: str) -> None:
    (notice,) = told(occasion("expired", problem=Failure(Scope.HOST, Word.GREETING, "story", reply, False)))
    assert notice.report.recipients[0].advice.startswith(words)


@pytest.mark.parametrize(
    ("state", "ret", "size", "content", "returned"),
    [
        ("failed", "", 100, "full", "full"),
        ("failed", "FULL", 100, "full", "full"),
        ("failed", "HDRS", 100, "full", "headers"),
        ("failed", "FULL", 51_201, "full", "headers"),
        ("failed", "FULL", 51_200, "full", "full"),
        ("failed", "FULL", 100, "headers", "headers"),
        ("failed", "FULL", 100, "none", "none"),
        ("queued", "FULL", 100, "full", "headers"),
        ("delivered", "FULL", 100, "full", "headers"),
        ("delivered", "FULL", 100, "none", "none"),
    ],
)
def test_no_more_of_the_original_goes_back_than_was_asked_and_may(
    state: str, ret: str, size: int, content: str, returned: str
) -> None:
    notify = ("SUCCESS", "FAILURE", "DELAY")
    (notice,) = told(occasion(state, ret=ret, size=size, content=content, notify=notify))
    assert notice.report.returned == returned


def test_a_message_that_lies_in_a_spool_file_comes_back_as_its_header() -> None:
    failed = occasion("failed", ret="FULL")
    spooled = replace(failed.message, content=Content(100, path="spool/1", head=ORIGINAL))
    (notice,) = told(replace(failed, message=spooled))
    assert notice.report.returned == "headers"


@pytest.mark.parametrize(
    ("encrypt", "headers", "expected"),
    [
        ("never", "none", "full"),
        ("when-possible", "none", "full"),
        ("required", "none", "headers"),
        ("required", "signed", "headers"),
        ("required", "confidential", "none"),
    ],
)
def test_of_mail_that_must_be_encrypted_no_more_comes_back_than_leaves_in_clear(
    encrypt: str, headers: str, expected: str
) -> None:
    wishes = Smime(encrypt=encrypt, header_protection=headers)
    partner = Connector("partner", outbound=Outbound(smime=wishes))
    other = Connector("other")
    found = occasion("failed", "failed")
    states = tuple(
        replace(s, connector=name) for s, name in zip(found.message.states, ("other", "partner"), strict=True)
    )
    message = replace(found.message, states=states)
    assert may_return(configuration(partner, other), message, found.fates, other, other) == expected
    assert may_return(configuration(partner, other), message, found.fates[:1], other, other) == "full"
    assert may_return(configuration(partner, other), message, found.fates[:1], partner, other) == expected


def test_of_mail_whose_connector_has_vanished_meanwhile_nothing_comes_back() -> None:
    other, found = Connector("other"), occasion("failed")
    [state] = found.message.states
    message = replace(found.message, states=(replace(state, connector="gone"),))
    assert may_return(configuration(other), message, found.fates, other, other) == "none"


LEVELS = [
    # what the contract demands, and the way back; whether the text may take it
    (OutboundTls(TlsLevel.PINNED), OutboundTls(TlsLevel.PINNED), True),
    (OutboundTls(TlsLevel.PINNED), OutboundTls(TlsLevel.VERIFIED), False),
    (OutboundTls(TlsLevel.VERIFIED), OutboundTls(TlsLevel.PINNED), True),
    (OutboundTls(TlsLevel.VERIFIED), OutboundTls(TlsLevel.ENCRYPTED), False),
    (OutboundTls(TlsLevel.VERIFIED), OutboundTls(dane="mandatory"), True),
    (OutboundTls(dane="mandatory"), OutboundTls(), False),
    (OutboundTls(mta_sts="mandatory"), OutboundTls(TlsLevel.OPPORTUNISTIC, mta_sts="mandatory"), True),
    (OutboundTls(mta_sts="mandatory"), OutboundTls(TlsLevel.NONE, mta_sts="mandatory"), False),
    (OutboundTls(TlsLevel.ENCRYPTED), OutboundTls(TlsLevel.OPPORTUNISTIC), False),
    (OutboundTls(TlsLevel.OPPORTUNISTIC), OutboundTls(TlsLevel.OPPORTUNISTIC), True),
]


@pytest.mark.parametrize(("demanded", "offered", "full"), LEVELS, ids=[str(number) for number in range(len(LEVELS))])
def test_no_text_returns_by_a_laxer_way_than_it_had_to_leave_by(
    demanded: OutboundTls, offered: OutboundTls, full: bool
) -> None:
    partner = Connector("partner", outbound=Outbound(tls=demanded))
    back = Connector("back", outbound=Outbound(tls=offered))
    found = occasion("failed")
    (state,) = found.message.states
    given = replace(found.message, states=(replace(state, connector="partner"),))
    expected = "full" if full else "headers"
    assert may_return(configuration(partner, back), given, found.fates, back, back) == expected
    assert may_return(configuration(partner, back), found.message, found.fates, partner, back) in (expected, "none")
    tried = replace(found.message, states=(replace(state, connector="back"),))
    assert may_return(configuration(partner, back), tried, found.fates, partner, back) == expected


def test_protected_content_does_not_come_back() -> None:
    (notice,) = told(occasion("failed", content="none"))
    assert b"plaintext" not in compose(notice.report, ORIGINAL)
    assert b"secret" not in compose(notice.report, ORIGINAL)


@pytest.mark.parametrize("state", ["failed", "expired"])
def test_a_failed_bounce_goes_to_the_postmaster_once(state: str) -> None:
    (notice,) = told(occasion(state, state, sender=None, notify=("NEVER",)))
    assert (notice.kind, notice.indices) == ("double-bounce", (0, 1))
    assert str(notice.to) == "postmaster@contoso.example"
    assert notice.envelope(b"x").sender is None


@pytest.mark.parametrize("to", [POSTMASTER, Mailbox("POSTMASTER", "", "")])
def test_a_bounce_that_the_postmaster_cannot_get_ends_there(to: Mailbox) -> None:
    assert told(occasion("failed", sender=None, to=to)) == ()


def test_a_double_bounce_that_fails_makes_no_third() -> None:
    (first,) = told(occasion("failed", sender=None))
    assert told(occasion("failed", sender=None, to=first.to)) == ()


def test_mail_from_a_person_to_the_postmaster_bounces_like_any_other() -> None:
    assert [notice.kind for notice in told(occasion("failed", to=POSTMASTER))] == ["failure"]


def test_the_envelope_says_how_the_notice_must_travel() -> None:
    (notice,) = told(occasion("failed"))
    assert notice.envelope(b"plain").body == "7BIT"
    assert notice.envelope("grün".encode()).body == "8BITMIME"
    assert not notice.envelope(b"plain").smtputf8
    (international,) = told(occasion("failed", sender=Mailbox("jös", "contoso.example", "contoso.example")))
    assert international.envelope(b"plain").smtputf8


STATES = st.lists(st.sampled_from(["delivered", "queued", "failed", "expired", "held"]), max_size=6)
NOTIFY = st.sampled_from([(), ("NEVER",), ("SUCCESS",), ("SUCCESS", "FAILURE", "DELAY")])


@given(STATES, NOTIFY, st.booleans())
def test_the_null_sender_is_never_answered(states: list[str], notify: tuple[str, ...], passed: bool) -> None:
    for notice in told(occasion(*states, sender=None, notify=notify, dsn_passed=passed)):
        assert notice.kind == "double-bounce"
        assert notice.report.to == "postmaster@contoso.example"
        assert "<>" not in message_from_bytes(compose(notice.report, ORIGINAL))["To"]


@given(STATES, NOTIFY, st.text(max_size=300))
def test_every_notice_can_be_composed_and_read(states: list[str], notify: tuple[str, ...], words: str) -> None:
    problem = Failure(Scope.RECIPIENT, Word.REFUSED, words, Reply(550, "5.1.1", (words,)), True)
    spoken = 0
    for notice in told(occasion(*states, notify=notify, problem=problem)):
        parts = message_from_bytes(compose(notice.report, ORIGINAL)).get_payload()
        blocks = parts[1].get_payload()  # type: ignore[index,union-attr]
        assert len(blocks) == 1 + len(notice.indices)  # type: ignore[arg-type]
        spoken += len(notice.indices)
    assert spoken <= len(states)


def test_an_operator_may_end_a_recipient_that_was_never_tried() -> None:
    plain = occasion("failed")
    (notice,) = told(replace(plain, result=DeliveryResult((), ())))
    assert notice.report.recipients[0].status == "5.0.0"
    assert b"why 0" in compose(notice.report, ORIGINAL)


@pytest.mark.parametrize("ret", ["", "FULL", "HDRS"])
def test_reports_of_mail_that_demands_tls_hold_its_header_at_most_and_demand_it_too(ret: str) -> None:
    failed = occasion("failed", ret=ret)
    demanding = replace(failed.message, envelope=replace(failed.message.envelope, tls="required"))
    (notice,) = told(replace(failed, message=demanding))
    assert notice.report.returned == "headers"
    assert notice.envelope(b"report").tls == "required"
    (notice,) = told(failed)
    assert notice.envelope(b"report").tls == ""


def test_a_report_names_domains_in_a_labels_so_that_it_travels_like_other_mail() -> None:
    alice = Mailbox("alice", "bücher.example", "xn--bcher-kva.example")
    bert = Mailbox("bert", "köln.example", "xn--kln-sna.example")
    server = replace(SERVER, postmaster="postmaster@bücher.example")
    problem = Failure(Scope.RECIPIENT, Word.REFUSED, "", Reply(550, "5.1.1", ("Kein Empfänger",)), permanent=True)
    [notice] = notices(occasion("failed", sender=alice, to=bert, problem=problem), server, lambda: "n1")
    raw = compose(notice.report, ORIGINAL)
    assert raw.isascii()
    assert b"Final-Recipient: rfc822; bert@xn--kln-sna.example" in raw
    envelope = notice.envelope(raw)
    assert (envelope.body, envelope.smtputf8) == ("7BIT", False)


@pytest.mark.parametrize(
    ("notify", "sender", "kinds"),
    [((), ALICE, 1), (("DELAY",), ALICE, 1), (("FAILURE",), ALICE, 0), (("NEVER",), ALICE, 0), ((), None, 0)],
)
def test_a_delay_is_told_to_a_sender_who_wants_it(notify: tuple[str, ...], sender: Mailbox | None, kinds: int) -> None:
    assert len(notices(occasion("queued", notify=notify, sender=sender), SERVER, lambda: "n1")) == kinds
