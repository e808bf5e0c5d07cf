"""Whatever a client sends: a result or the declared error, nothing else."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.smtp.address import AddressError, parse_mailbox, parse_path
from mta.rfc.smtp.command import CommandError, parse_command, valid_helo
from mta.rfc.smtp.data import DataReader, DotStuffer
from mta.rfc.smtp.parameters import ParameterError, parse_mail_parameters, parse_rcpt_parameters
from mta.rfc.smtp.proxy import SIGNATURE, ProxyError, parse_proxy
from mta.rfc.smtp.xtext import XtextError, decode_xtext
from tests.support.effort import growth

EXTENSIONS = {"SIZE", "8BITMIME", "SMTPUTF8", "DSN"}
SIGNS = st.text(st.sampled_from('<>@,:;"\\[].- \t\r\n\0aZ0_=+ü\u3002\ud800\x80IPv6'), max_size=40)
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60) | SIGNS


@given(ANY_TEXT, st.booleans(), st.booleans(), st.booleans())
def test_a_path_is_read_or_refused(text: str, smtputf8: bool, null_ok: bool, postmaster_ok: bool) -> None:
    with contextlib.suppress(AddressError):
        mailbox, rest = parse_path(text, smtputf8=smtputf8, null_ok=null_ok, postmaster_ok=postmaster_ok)
        assert text.endswith(rest)
        if mailbox is None:
            assert null_ok
            return
        assert mailbox.ascii_domain.isascii()
        assert smtputf8 or mailbox.is_ascii
        assert not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in str(mailbox))
        again = f"<{mailbox}>"
        assert parse_path(again, smtputf8=True, null_ok=False, postmaster_ok=True) == (mailbox, "")
        str(mailbox).encode("utf-8")


@given(ANY_TEXT)
def test_a_configured_mailbox_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(AddressError):
        assert str(parse_mailbox(text)) == text


@given(
    st.lists(st.sampled_from(["SIZE=", "ENVID=", "RET=", "NOTIFY=", "ORCPT=rfc822;", "ORCPT=utf-8;", "BODY="]) | SIGNS)
    .map(" ".join)
    .map(" ".__add__)
    | ANY_TEXT
)
def test_parameters_are_read_or_refused(text: str) -> None:
    for parse in (parse_mail_parameters, parse_rcpt_parameters):
        try:
            parse(text, EXTENSIONS)
        except ParameterError as problem:
            reply = problem.reply.render()
            assert reply.count(b"\n") == 1
            assert reply.isascii()


@given(st.text("+0dDaAz;\\x{} =\n", max_size=30))
def test_what_an_accepted_orcpt_hides_holds_no_line_end(address: str) -> None:
    with contextlib.suppress(ParameterError):
        found = parse_rcpt_parameters(f" ORCPT=rfc822;{address}", EXTENSIONS)
        assert not set(decode_xtext(found.orcpt.partition(";")[2])) & set(range(32))


@given(ANY_TEXT)
def test_xtext_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(XtextError):
        decode_xtext(text)


@given(st.binary(max_size=80) | SIGNS.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_a_command_is_read_or_refused(line: bytes) -> None:
    with contextlib.suppress(CommandError):
        command = parse_command(line)
        assert command.verb.isalnum()
        assert command.verb.isupper()
        command.argument.encode("utf-8")
        valid_helo(command.argument)


@given(st.binary(max_size=80), st.binary(max_size=40))
def test_a_proxy_header_is_read_or_refused(block: bytes, rest: bytes) -> None:
    for data in (block, SIGNATURE + block, SIGNATURE + b"\x21\x11" + len(block).to_bytes(2, "big") + block + rest):
        with contextlib.suppress(ProxyError):
            found = parse_proxy(data)
            assert found is None or found.length <= len(data)


@given(st.lists(st.binary(max_size=20) | st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"\r\n.\r\n"]), max_size=20))
def test_data_is_the_same_octet_by_octet_and_at_once(pieces: list[bytes]) -> None:
    data = b"".join(pieces) + b"\r\n.\r\n"
    whole, single = DataReader(30, 12), DataReader(30, 12)
    content = whole.feed(data)
    octets = b""
    for index in range(len(data)):
        octets += single.feed(data[index : index + 1])
        if single.done:
            assert data[index + 1 :] == whole.rest
            break
    assert (whole.done, whole.faults, whole.size) == (True, single.faults, single.size)
    assert whole.faults or content == octets


@given(st.lists(st.binary(max_size=20) | st.sampled_from([b"\r\n", b".", b"\r", b"\n"]), max_size=20))
def test_what_is_sent_ends_nowhere_but_at_its_end(pieces: list[bytes]) -> None:
    stuffer = DotStuffer()
    sent = b"".join(stuffer.feed(piece) for piece in pieces) + stuffer.finish()
    assert (b"\r\n" + sent).find(b"\r\n.\r\n") + 3 == len(sent)
    assert sent.count(b"\r") == sent.count(b"\n") == sent.count(b"\r\n")


@pytest.mark.parametrize("unit", [b"\r\n..", b"\r\n.\r", b"\n", b"\r", b".", b"\r\n", b"a" * 99 + b"\r\n"])
def test_reading_and_sending_data_is_linear_work(unit: bytes) -> None:
    assert growth(lambda size: lambda: DataReader(0, 100).feed(unit * size), 400_000 // len(unit)) < 9
    assert growth(lambda size: lambda: DotStuffer().feed(unit * size), 400_000 // len(unit)) < 9
