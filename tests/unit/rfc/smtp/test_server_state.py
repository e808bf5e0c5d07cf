"""The server's tables: they are whole, and each entry is what the server does."""

from __future__ import annotations

import pytest

from mta.model.reply import Reply
from mta.rfc.smtp import server
from mta.rfc.smtp.server_state import LAST_OF_GROUP, NO_ARGUMENT, ON_ANSWER, ON_COMMAND, ON_TLS, State
from mta.rfc.smtp.server_terms import Terms
from tests.support.smtp_machine import HOSTNAME, Conversation

MAIL, RCPT = b"MAIL FROM:<a@fabrikam.example>", b"RCPT TO:<b@contoso.example>"
REACHED: dict[State, list[bytes]] = {  # by what a command state is reached
    State.HELLO: [],
    State.IDLE: [b"EHLO client.example"],
    State.MAIL: [b"EHLO client.example", MAIL],
    State.RCPT: [b"EHLO client.example", MAIL, RCPT],
    State.CHUNKS: [b"EHLO client.example", MAIL, RCPT, b"BDAT 0"],
}
# command -> (code, state afterwards), in the order of REACHED
OUTCOMES: dict[bytes, list[tuple[int, State]]] = {
    b"EHLO again.example": [(250, State.IDLE)] * 5,
    b"HELO again.example": [(250, State.IDLE)] * 5,
    MAIL: [(503, State.HELLO), (250, State.MAIL), (503, State.MAIL), (503, State.RCPT), (503, State.CHUNKS)],
    b"MAIL FROM:<no@fabrikam.example>": [
        (503, State.HELLO), (550, State.IDLE), (503, State.MAIL), (503, State.RCPT), (503, State.CHUNKS)],
    b"MAIL FROM:<": [(503, State.HELLO), (501, State.IDLE), (503, State.MAIL), (503, State.RCPT), (503, State.CHUNKS)],
    RCPT: [(503, State.HELLO), (503, State.IDLE), (250, State.RCPT), (250, State.RCPT), (503, State.CHUNKS)],
    b"RCPT TO:<no@contoso.example>": [
        (503, State.HELLO), (503, State.IDLE), (550, State.MAIL), (550, State.RCPT), (503, State.CHUNKS)],
    b"RCPT TO:<": [(503, State.HELLO), (503, State.IDLE), (501, State.MAIL), (501, State.RCPT), (503, State.CHUNKS)],
    b"DATA": [(503, State.HELLO), (503, State.IDLE), (554, State.MAIL), (354, State.CONTENT), (503, State.CHUNKS)],
    b"DATA now": [(501, State.HELLO), (501, State.IDLE), (501, State.MAIL), (501, State.RCPT), (501, State.CHUNKS)],
    b"BDAT 0": [(503, State.HELLO), (503, State.IDLE), (554, State.MAIL), (250, State.CHUNKS), (250, State.CHUNKS)],
    b"BDAT 0 LAST": [(503, State.HELLO), (503, State.IDLE), (554, State.MAIL), (250, State.IDLE), (250, State.IDLE)],
    b"BDAT": [(501, State.CLOSED)] * 5,
    b"RSET": [(250, State.HELLO), (250, State.IDLE), (250, State.IDLE), (250, State.IDLE), (250, State.IDLE)],
    b"NOOP": [(250, State.HELLO), (250, State.IDLE), (250, State.MAIL), (250, State.RCPT), (250, State.CHUNKS)],
    b"HELP": [(214, State.HELLO), (214, State.IDLE), (214, State.MAIL), (214, State.RCPT), (214, State.CHUNKS)],
    b"VRFY b": [(252, State.HELLO), (252, State.IDLE), (252, State.MAIL), (252, State.RCPT), (252, State.CHUNKS)],
    b"EXPN b": [(502, State.HELLO), (502, State.IDLE), (502, State.MAIL), (502, State.RCPT), (502, State.CHUNKS)],
    b"AUTH PLAIN": [(502, State.HELLO), (502, State.IDLE), (502, State.MAIL), (502, State.RCPT), (502, State.CHUNKS)],
    b"STARTTLS": [(220, State.HELLO)] * 5,  # the handshake is done at once here
    b"BOGUS": [(500, State.HELLO), (500, State.IDLE), (500, State.MAIL), (500, State.RCPT), (500, State.CHUNKS)],
    b"QUIT": [(221, State.CLOSED)] * 5,
}  # fmt: skip


@pytest.mark.parametrize("state", REACHED, ids=lambda state: state.value)
@pytest.mark.parametrize("command", OUTCOMES, ids=lambda line: line.decode())
def test_every_command_in_every_state(state: State, command: bytes) -> None:
    one = Conversation(Terms(HOSTNAME), starttls=True)
    for line in REACHED[state]:
        assert one.say(line) == 250
    assert one.server.state is state
    code = one.say(command)
    assert (code, one.server.state) == OUTCOMES[command][list(REACHED).index(state)]


def test_every_command_state_knows_every_verb() -> None:
    verbs = {frozenset(commands) for commands in ON_COMMAND.values()}
    assert len(verbs) == 1
    [known] = verbs
    assert known == {line.split()[0].decode() for line in OUTCOMES} - {"BOGUS"}
    assert known >= NO_ARGUMENT | LAST_OF_GROUP
    assert set(ON_COMMAND) == set(REACHED)


def test_every_verb_that_leads_somewhere_has_its_function() -> None:
    leading = {verb for row in ON_COMMAND.values() for verb, to in row.items() if isinstance(to, State)}
    assert leading == set(server._VERBS) | {"BDAT"}  # which has to be read out of order, too


def test_every_state_waits_for_somebody() -> None:
    for_octets = set(server._READERS)
    for_us = {State.START, State.GREETING, *ON_ANSWER, *ON_TLS}
    assert not for_octets & for_us
    assert for_octets | for_us | {State.CLOSED} == set(State)
    assert for_octets >= set(ON_COMMAND)


def test_every_state_is_reached() -> None:
    by_commands = {to for row in ON_COMMAND.values() for to in row.values() if isinstance(to, State)}
    by_decisions = {to for both in ON_ANSWER.values() for to in both} | set(ON_TLS.values())
    by_octets = {State.PROXY, State.FIRST_TLS, State.ASKED_MESSAGE, State.CHUNKS, State.SKIP}
    assert by_commands | by_decisions | by_octets | {State.START} == set(State)


def test_what_is_out_of_order_is_said_with_a_permanent_reply() -> None:
    replies = [to for row in ON_COMMAND.values() for to in row.values() if isinstance(to, Reply)]
    assert all(reply.permanent and reply.enhanced.startswith("5.5.") for reply in replies)
