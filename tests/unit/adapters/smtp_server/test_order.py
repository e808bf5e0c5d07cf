"""Every verb in every state, and what each reply is (RFC 5321 §4.1.4, §4.3.2)."""

from __future__ import annotations

import pytest

from mta.model.reply import Reply
from tests.support.smtp_server import Client, FakeReceiver, serving

MAIL = "MAIL FROM:<a@fabrikam.example>"
RCPT = "RCPT TO:<b@contoso.example>"
STATES: dict[str, list[str]] = {
    "connected": [],
    "ehlo": ["EHLO client.example"],
    "helo": ["HELO client.example"],
    "mail": ["EHLO client.example", MAIL],
    "rcpt": ["EHLO client.example", MAIL, RCPT],
    "reset": ["EHLO client.example", MAIL, RCPT, "RSET"],
}
EXPECTED: dict[str, list[int]] = {  # in the order of STATES
    "EHLO again.example": [250, 250, 250, 250, 250, 250],
    "HELO again.example": [250, 250, 250, 250, 250, 250],
    MAIL: [503, 250, 250, 503, 503, 250],
    RCPT: [503, 503, 503, 250, 250, 503],
    "DATA": [503, 503, 503, 554, 354, 503],
    "RSET": [250, 250, 250, 250, 250, 250],
    "NOOP": [250, 250, 250, 250, 250, 250],
    "NOOP and more": [250, 250, 250, 250, 250, 250],
    "HELP": [214, 214, 214, 214, 214, 214],
    "HELP MAIL": [214, 214, 214, 214, 214, 214],
    "VRFY b": [252, 252, 252, 252, 252, 252],
    "VRFY": [501, 501, 501, 501, 501, 501],
    "EXPN list": [502, 502, 502, 502, 502, 502],
    "AUTH PLAIN": [502, 502, 502, 502, 502, 502],
    "STARTTLS": [502, 502, 502, 502, 502, 502],
    "BDAT 0 LAST": [503, 503, 503, 554, 250, 503],
    "BDAT": [501, 501, 501, 501, 501, 501],
    "QUIT": [221, 221, 221, 221, 221, 221],
    "QUIT now": [501, 501, 501, 501, 501, 501],
    "RSET now": [501, 501, 501, 501, 501, 501],
    "DATA now": [501, 501, 501, 501, 501, 501],
    "EHLO": [501, 501, 501, 501, 501, 501],
    "HELO": [501, 501, 501, 501, 501, 501],
    "HELO two words": [501, 501, 501, 501, 501, 501],
    "EHLO [192.0.2.1]": [250, 250, 250, 250, 250, 250],
    "EHLO [IPv6:2001:db8::1]": [250, 250, 250, 250, 250, 250],
    "EHLO [300.0.0.1]": [501, 501, 501, 501, 501, 501],
    "WHATISTHIS": [500, 500, 500, 500, 500, 500],
    "_handle_client": [500, 500, 500, 500, 500, 500],
    "": [500, 500, 500, 500, 500, 500],
    "mail from:<a@fabrikam.example>": [503, 250, 250, 503, 503, 250],
    "MAIL": [503, 501, 501, 503, 503, 501],
    "MAIL FROM": [503, 501, 501, 503, 503, 501],
    "RCPT TO": [503, 503, 503, 501, 501, 503],
}


@pytest.mark.parametrize("command", EXPECTED)
async def test_every_verb_has_its_reply_in_every_state(command: str) -> None:
    async with serving() as server:
        found = []
        for before in STATES.values():
            client = await server.connect()
            for line in before:
                assert await client.say(line) == 250
            found.append(await client.say(command))
        assert found == EXPECTED[command]


MAILS: dict[str, int] = {
    "<>": 250,
    "<a@fabrikam.example>": 250,
    " <a@fabrikam.example>": 250,
    "<a@fabrikam.example> SIZE=1000": 250,
    "<a@fabrikam.example> SIZE=1001": 552,
    "<a@fabrikam.example> size=1000 body=8bitmime": 250,
    "<a@fabrikam.example> BODY=7BIT": 250,
    "<a@fabrikam.example> BODY=BINARYMIME": 501,
    "<a@fabrikam.example> SIZE=x": 501,
    "<a@fabrikam.example> SIZE": 501,
    "<a@fabrikam.example> SIZE=1 SIZE=1": 501,
    "<a@fabrikam.example> RET=FULL ENVID=x+2By": 250,
    "<a@fabrikam.example> RET=HALF": 501,
    "<a@fabrikam.example> ENVID=a+0Ab": 501,
    "<a@fabrikam.example> ENVID=" + "x" * 100: 250,
    "<a@fabrikam.example> ENVID=" + "x" * 101: 501,
    "<a@fabrikam.example> SMTPUTF8": 250,
    "<a@fabrikam.example> SMTPUTF8=yes": 501,
    "<a@fabrikam.example> AUTH=<>": 555,
    "<a@fabrikam.example> REQUIRETLS": 555,
    "<a@fabrikam.example> NOTIFY=NEVER": 555,
    "<a@fabrikam.example>SIZE=1": 501,
    "<\u00e4@fabrikam.example> SMTPUTF8": 250,
    "<\u00e4@fabrikam.example>": 553,
    "a@fabrikam.example": 501,
    "<a b@fabrikam.example>": 501,
    "<@x.example:a@fabrikam.example>": 250,  # RFC 5321 §4.1.1.3: a source route is taken and ignored
    "<=?utf-8?q?foo?=@y.example>": 250,  # a local part like any other, nothing is decoded
    "<pepe>": 501,
    "<a@b@c>": 501,
    "<a@fabrikam.example": 501,
    "": 501,
}


@pytest.mark.parametrize("path", MAILS)
async def test_the_reverse_path_and_its_parameters_are_judged_by_grammar(path: str) -> None:
    async with serving(message_size=1000) as server:
        client = await server.connect()
        await client.say("EHLO client.example")
        assert await client.say(f"MAIL FROM:{path}") == MAILS[path]


RCPTS: dict[str, int] = {
    "<b@contoso.example>": 250,
    "<postmaster>": 250,
    "<PostMaster>": 250,
    "<webmaster>": 501,
    "<>": 501,
    "b@contoso.example": 501,
    "<b@contoso.example> NOTIFY=SUCCESS,FAILURE,DELAY": 250,
    "<b@contoso.example> NOTIFY=NEVER": 250,
    "<b@contoso.example> NOTIFY=NEVER,DELAY": 501,
    "<b@contoso.example> ORCPT=rfc822;b+40contoso.example": 250,
    "<b@contoso.example> ORCPT=rfc822;b+0D+0Ax": 501,
    "<b@contoso.example> ORCPT=rfc822": 501,
    "<b@contoso.example> SIZE=1": 555,
    "<\u00f6@contoso.example>": 553,
    "<b@[192.0.2.1]>": 250,
    '<"b c"@contoso.example>': 250,
}


@pytest.mark.parametrize("path", RCPTS)
async def test_the_forward_path_and_its_parameters_are_judged_by_grammar(path: str) -> None:
    async with serving() as server:
        client = await server.connect()
        await client.say("EHLO client.example")
        await client.say("MAIL FROM:<>")
        assert await client.say(f"RCPT TO:{path}") == RCPTS[path]


async def test_dsn_parameters_arrive_as_they_travelled() -> None:
    async with serving() as server:
        client = await server.connect()
        await client.say("EHLO client.example")
        await client.say("MAIL FROM:<a@fabrikam.example> RET=hdrs ENVID=aB+2Bc SIZE=77 BODY=8bitMIME SMTPUTF8")
        await client.say("RCPT TO:<b@contoso.example> NOTIFY=failure,Delay ORCPT=rfc822;B+40x.example")
        envelope, recipient = server.receiver.envelopes[0], server.receiver.recipients[0]
        assert (envelope.ret, envelope.envid, envelope.size) == ("HDRS", "aB+2Bc", 77)
        assert (envelope.body, envelope.smtputf8) == ("8BITMIME", True)
        assert (recipient.notify, recipient.orcpt) == (("FAILURE", "DELAY"), "rfc822;B+40x.example")


async def test_the_offers_are_those_of_the_contract() -> None:
    async with serving(message_size=4711) as server:
        client = await server.connect()
        client.write(b"EHLO client.example\r\n")
        first, *offers = await client.lines()
        assert first == "250-mx.contoso.example greets client.example"
        assert {line[4:] for line in offers} == {
            "PIPELINING",
            "SIZE 4711",
            "8BITMIME",
            "SMTPUTF8",
            "DSN",
            "CHUNKING",
            "ENHANCEDSTATUSCODES",
        }


@pytest.mark.parametrize(("recipients", "offered"), [(0, False), (1, True), (999_999, True), (1_000_000, False)])
async def test_the_limit_of_recipients_is_told_where_it_can_be(recipients: int, offered: bool) -> None:
    async with serving(recipients=recipients) as server:
        client = await server.connect()
        client.write(b"EHLO client.example\r\n")
        assert (f"250-LIMITS RCPTMAX={recipients}" in await client.lines()) == offered


async def test_after_helo_no_parameter_is_known_and_nothing_is_offered() -> None:
    async with serving() as server:
        client = await server.connect()
        client.write(b"HELO client.example\r\n")
        assert await client.lines() == ["250 mx.contoso.example"]
        assert await client.say("MAIL FROM:<a@fabrikam.example> SIZE=10") == 555
        assert await client.say("MAIL FROM:<\u00e4@fabrikam.example>") == 501
        assert await client.say("MAIL FROM:<a@fabrikam.example>") == 250
        assert await client.say("RCPT TO:<b@contoso.example> NOTIFY=NEVER") == 555
        assert await client.say("RCPT TO:<b@contoso.example>") == 250
        assert await client.say("DATA") == 354
        client.write(b"Subject: x\r\n\r\n.\r\n")
        assert await client.reply() == 250
        assert server.receiver.facts[-1].helo == "client.example"
        assert not server.receiver.facts[-1].esmtp


async def test_refusals_are_passed_on_and_leave_the_session_usable() -> None:
    no = Reply(550, "5.7.1", ("Not you",))
    receiver = FakeReceiver({"MAIL": lambda asked: no if asked.sender_text == "x@evil.example" else Reply(250)})
    async with serving(receiver) as server:
        client = await server.connect()
        await client.say("EHLO client.example")
        assert await client.say("MAIL FROM:<x@evil.example>") == 550
        assert await client.say("RCPT TO:<b@contoso.example>") == 503
        assert await client.send_message(b"Subject: x\r\n\r\n", helo="") == 250


async def test_without_an_accepted_recipient_there_is_no_data() -> None:
    async with serving(FakeReceiver({"RCPT": Reply(550, "5.1.1", ("Unknown",))})) as server:
        client = await server.connect()
        await client.say("EHLO client.example")
        await client.say("MAIL FROM:<>")
        assert await client.say("RCPT TO:<b@contoso.example>") == 550
        assert await client.say("DATA") == 554
        assert ("DATA", None) not in server.receiver.asked


async def test_a_refused_session_hears_why_and_no_greeting() -> None:
    async with serving(FakeReceiver({"OPEN": Reply(421, "4.7.0", ("Too many",))})) as server:
        client = await server.connect(greeted=False)
        assert await client.codes() == [421]
        assert server.receiver.closed == []  # what was never opened is not closed


async def test_a_transaction_ends_with_the_message_and_another_may_follow() -> None:
    async with serving() as server:
        client = await server.connect()
        assert await client.send_message(b"Subject: 1\r\n\r\n") == 250
        assert await client.say(RCPT) == 503
        assert await client.send_message(b"Subject: 2\r\n\r\n", helo="") == 250
        assert await client.say("QUIT") == 221
        assert await client.end() == b""
        assert server.receiver.contents == [b"Subject: 1\r\n\r\n", b"Subject: 2\r\n\r\n"]
        assert server.receiver.closed == [""]


@pytest.mark.parametrize(
    "line",
    [
        b"NOOP\n",
        b"NOOP\rMAIL FROM:<>\r\n",
        b"NOOP\nMAIL FROM:<>\r\n",
        b"NOOP\r\r\n",
        b"MAIL FROM:<a\n@fabrikam.example>\r\n",
    ],
)
async def test_a_bare_cr_or_lf_in_a_command_ends_the_connection(line: bytes) -> None:
    async with serving() as server:
        client = await server.connect()
        await client.say("EHLO client.example")
        client.write(line + b"MAIL FROM:<b@fabrikam.example>\r\n")
        assert await client.codes() == [500]
        assert server.receiver.envelopes == []


@pytest.mark.parametrize("line", [b"NOOP \0", b"MAIL FROM:<\0@fabrikam.example>", b"EHLO a\x7f", b"NOOP \xff\xfe"])
async def test_controls_and_broken_utf8_in_a_command_are_syntax_errors(line: bytes) -> None:
    async with serving() as server:
        client = await server.connect()
        assert await client.say(line) == 500
        assert await client.say("NOOP") == 250


@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "POST /x HTTP/1.1", "CONNECT mx.contoso.example:25 HTTP/1.1"])
async def test_a_browser_is_not_talked_with(line: str) -> None:
    async with serving() as server:
        client = await server.connect()
        client.write(line.encode() + b"\r\nHost: mx\r\n\r\nEHLO client.example\r\nMAIL FROM:<>\r\n")
        assert await client.codes() == [502]
        assert server.receiver.envelopes == []


async def test_what_the_library_would_answer_is_never_asked() -> None:
    from aiosmtpd.smtp import SMTP

    from mta.adapters.smtp_server.protocol import SmtpServerProtocol

    verbs = {name for name in dir(SMTP) if name.startswith("smtp_")}
    assert verbs
    assert {getattr(SmtpServerProtocol, verb) for verb in verbs} == {None}


async def test_a_defect_is_told_as_temporary_and_says_nothing_of_itself() -> None:
    def broken(_: object) -> Reply:
        raise ValueError("secret detail of ours")

    async with serving(FakeReceiver({"MAIL": broken})) as server:
        client: Client = await server.connect()
        await client.say("EHLO client.example")
        client.write(b"MAIL FROM:<>\r\n")
        heard = await client.lines()
        assert heard[0].startswith("421 4.3.0 ")
        assert "secret" not in heard[0]
        assert await client.end() == b""
        await server.idle()
        [defect] = server.take_defects()
        assert "secret detail" in defect["traceback"]
