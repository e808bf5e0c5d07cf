"""BDAT (RFC 3030): chunks in order and out of it, in any pieces, and that no octet of one is ever read as a command."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.smtp import server_events as events
from mta.rfc.smtp.data import ChunkReader, DataFault
from mta.rfc.smtp.server_state import State
from mta.rfc.smtp.server_terms import Terms
from tests.support.smtp_machine import HOSTNAME, Conversation, octets

TERMS = Terms(HOSTNAME, message_size=4000, line_length=200, soft_errors=99, hard_errors=200)
READY = [b"EHLO client.example\r\n", b"MAIL FROM:<a@fabrikam.example>\r\nRCPT TO:<b@contoso.example>\r\n"]
EVIL = b"MAIL FROM:<evil@fabrikam.example>\r\nRCPT TO:<b@contoso.example>\r\nDATA\r\n.\r\nQUIT\r\n"


def ready() -> Conversation:
    return Conversation(TERMS).hear(READY)


def bdat(data: bytes, last: bool = False) -> bytes:
    return b"BDAT %d%s\r\n" % (len(data), b" LAST" if last else b"") + data


def test_one_chunk_is_a_message() -> None:
    one = ready().hear([bdat(b"Subject: x\r\n\r\n.\r\n..dot\r\n", last=True) + b"NOOP\r\n"])
    assert one.codes[-2:] == [250, 250]
    assert one.contents == [b"Subject: x\r\n\r\n.\r\n..dot\r\n"]
    assert one.told[-2:] == [events.MessageComplete(one.contents[0], verbatim=False), events.Answered()]


def test_several_chunks_with_other_commands_between_them() -> None:
    one = ready()
    one.hear([bdat(b"Subject: x\r"), bdat(b"\n\r\nbo"), b"NOOP\r\nVRFY b\r\nBOGUS\r\n", bdat(b""), bdat(b"dy\r\n")])
    assert one.codes[4:] == [250, 250, 250, 252, 500, 250, 250]
    assert b"250 2.0.0 11 octets received\r\n" in one.said
    one.hear([bdat(b"", last=True)])
    assert one.codes[-1] == 250
    assert one.contents == [b"Subject: x\r\n\r\nbody\r\n"]


@pytest.mark.parametrize("body", [b"", b"x", b"Subject: x\r\n\r\nno end"])
def test_the_last_line_is_given_its_end_as_data_would_have_it(body: bytes) -> None:
    one = ready().hear([bdat(body, last=True)])
    assert one.contents == [body + b"\r\n" if body else b""]


def test_a_whole_transaction_may_be_said_at_once() -> None:
    one = Conversation(TERMS).hear([READY[0], READY[1] + bdat(b"a\r\n") + bdat(b"b\r\n", last=True) + b"QUIT\r\n"])
    assert one.codes == [220, 250, 250, 250, 250, 250, 221]
    assert one.contents == [b"a\r\nb\r\n"]


@pytest.mark.parametrize(
    ("before", "code", "state"),
    [
        ([], 503, State.HELLO),
        (READY[:1], 503, State.IDLE),
        ([READY[0], b"MAIL FROM:<>\r\n"], 554, State.MAIL),
        ([READY[0], b"MAIL FROM:<>\r\nRCPT TO:<no@contoso.example>\r\n"], 554, State.MAIL),
        ([b"HELO client.example\r\n", READY[1]], 503, State.RCPT),
    ],
)
@pytest.mark.parametrize("slowly", [True, False])
def test_what_follows_a_refused_bdat_is_not_read_as_commands(
    before: list[bytes], code: int, state: State, slowly: bool
) -> None:
    one = Conversation(TERMS).hear(before)
    known, said = len(one.envelopes), len(one.codes)
    wire = bdat(EVIL, last=True) + b"NOOP\r\n"
    one.hear(octets(wire) if slowly else [wire])
    assert one.codes[said:] == [code, 250]
    assert len(one.envelopes) == known
    assert not one.contents
    assert one.server.state is state


@pytest.mark.parametrize(
    "line", [b"BDAT", b"BDAT LAST", b"BDAT x LAST", b"BDAT -1", b"BDAT 5 FIRST", b"BDAT 5 LAST LAST", b"BDAT 0x10",
             b"BDAT 123456789012345678901", "BDAT \u0665 LAST".encode()]
)  # fmt: skip
def test_a_bdat_whose_size_nobody_knows_ends_the_connection(line: bytes) -> None:
    one = ready().hear([line + b"\r\n" + EVIL])
    assert one.codes[4:] == [501]
    assert one.told[-1] == events.Ended("BDAT without a size")
    assert len(one.envelopes) == 1


def test_chunks_and_data_are_not_mixed() -> None:
    one = ready().hear([bdat(b"Subject: x\r\n")])
    assert [one.say(line) for line in (b"DATA", b"MAIL FROM:<>", b"RCPT TO:<c@contoso.example>")] == [503] * 3
    assert one.hear([bdat(b"\r\n", last=True)]).contents == [b"Subject: x\r\n\r\n"]


@pytest.mark.parametrize("line", [b"RSET", b"EHLO again.example", b"HELO again.example"])
def test_a_message_that_has_begun_may_be_given_up(line: bytes) -> None:
    one = ready().hear([bdat(b"Subject: x\r\n")])
    assert one.say(line) == 250
    assert one.hear([bdat(b"\r\n", last=True)]).codes[-1] == 503
    assert not one.contents
    assert one.hear([*READY, bdat(b"Subject: y\r\n", last=True)]).contents == [b"Subject: y\r\n"]


FAULTS = {
    b"bare\nLF\r\n": 550,
    b"bare\rCR\r\n": 550,
    b"NUL\0\r\n": 550,
    b"x" * 300 + b"\r\n": 500,
    (b"y" * 98 + b"\r\n") * 41: 552,
}


@pytest.mark.parametrize("data", FAULTS, ids=lambda data: data[:4].decode())
def test_a_chunk_with_a_fault_ends_the_message_and_the_session_goes_on(data: bytes) -> None:
    one = ready().hear([bdat(b"Subject: x\r\n\r\n") + bdat(data) + bdat(EVIL, last=True) + b"NOOP\r\n"])
    assert one.codes[4:] == [250, FAULTS[data], 503, 250]
    assert len(one.envelopes) == 1
    assert not one.contents
    assert one.hear([*READY, bdat(b"Subject: y\r\n", last=True)]).contents == [b"Subject: y\r\n"]


def test_a_carriage_return_at_the_very_end_has_lost_its_line_feed() -> None:
    assert ready().hear([bdat(b"body\r", last=True)]).codes[-1] == 550


@pytest.mark.parametrize("before", [READY, READY[:1]])
def test_more_octets_than_anybody_would_read_end_the_connection_at_once(before: list[bytes]) -> None:
    one = Conversation(TERMS).hear(before)
    one.hear([b"BDAT 99999999999 LAST\r\n" + EVIL])
    assert one.told[-1] == events.Ended("too large, and no end")
    assert one.codes[-1] == (552 if before is READY else 503)
    assert len(one.envelopes) == len(before) - 1


def test_a_chunk_larger_than_a_message_may_be_is_read_to_its_end_and_refused() -> None:
    one = ready().hear([b"BDAT 1048576\r\n", *[b"w" * 65536] * 15])
    assert one.codes[4:] == []
    one.hear([b"w" * 65536 + b"NOOP\r\n"])
    assert one.codes[4:] == [500, 250]  # of several faults, the first in the order of DataFault


chunked = st.lists(
    st.tuples(st.binary(max_size=5) | st.sampled_from([b"a\r\n", b"\r", b"\n", b".\r\n", b""]), st.booleans())
)


@given(chunked, st.data())
def test_chunks_are_the_same_however_they_are_cut(chunks: list[tuple[bytes, bool]], data: st.DataObject) -> None:
    terms = replace(TERMS, forbid_early_talkers=False)
    wire = b"".join([*READY, *(bdat(body, last) for body, last in chunks), b"RSET\r\n", *READY[1:], bdat(b"x", True)])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    outcomes = [Conversation(terms).hear(each) for each in ([wire], octets(wire), pieces)]
    for other in outcomes[1:]:
        assert (other.told, other.said, other.contents) == (outcomes[0].told, outcomes[0].said, outcomes[0].contents)


@given(st.lists(st.sampled_from([b"a", b"\r\n", b"\r", b"\n", b".", b"\0", b"ab\r\n"])), st.data())
def test_a_reader_of_chunks_knows_faults_by_the_whole_and_not_by_its_pieces(
    parts: list[bytes], data: st.DataObject
) -> None:
    body = b"".join(parts)
    cut = data.draw(st.integers(0, len(body)))
    whole, split = ChunkReader(0, 0), ChunkReader(0, 0)
    content = whole.feed(body) + whole.finish()
    pieces = split.feed(body[:cut]) + split.feed(body[cut:]) + split.finish()
    bare = body.replace(b"\r\n", b"")
    expected = {DataFault.BARE_CR} if b"\r" in bare else set()
    expected |= {DataFault.BARE_LF} if b"\n" in bare else set()
    expected |= {DataFault.NUL} if b"\0" in bare else set()
    assert whole.faults == split.faults == expected
    if not expected:
        assert content == pieces == (body if not body or body.endswith(b"\r\n") else body + b"\r\n")
