"""What AUTH says."""

from __future__ import annotations

import base64

import pytest

from mta.errors import LocalProtocolError, RemoteProtocolError
from mta.model.reply import Reply
from mta.rfc.smtp.client import SmtpClient
from mta.rfc.smtp.client_events import Answered
from mta.rfc.smtp.sasl import OAUTHBEARER, XOAUTH2, bearer, choose, refusal

TOKEN = "vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg=="


def ready() -> SmtpClient:
    client = SmtpClient(implicit_tls=True)
    client.receive_data(b"220 hop\r\n")
    client.next_event()
    client.ehlo("me")
    client.data_to_send()
    client.receive_data(b"250-hop\r\n250 AUTH XOAUTH2 OAUTHBEARER\r\n")
    client.next_event()
    return client


def test_the_example_of_rfc_7628() -> None:
    said = bearer(OAUTHBEARER, "user@example.com", TOKEN, "server.example.com", 587)
    assert said.command == (  # RFC 7628 §4.3
        b"AUTH OAUTHBEARER bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9NTg3AWF1dGg9QmVhcmVyIH"
        b"ZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2c9PQEB"
    )


def test_the_example_of_xoauth2() -> None:
    said = bearer(XOAUTH2, "someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg", "h", 25)
    assert said.command == (  # developers.google.com/gmail/imap/xoauth2-protocol
        b"AUTH XOAUTH2 dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG"
        b"1semRHRXVZMjl0Q2cBAQ=="
    )


@pytest.mark.parametrize(("mechanism", "sorry"), [(XOAUTH2, b"\r\n"), (OAUTHBEARER, b"AQ==\r\n")])
def test_a_token_that_is_not_taken_ends_in_the_host_s_own_word(mechanism: str, sorry: bytes) -> None:
    client = ready()
    client.authenticate(bearer(mechanism, "u", "t", "h", 25))
    client.data_to_send()
    why = base64.b64encode(b'{"status":"401","schemes":"bearer","scope":"mail"}')
    client.receive_data(b"334 " + why + b"\r\n")
    assert client.data_to_send() == sorry
    client.receive_data(b"535 5.7.3 Authentication unsuccessful\r\n")
    assert client.next_event() == Answered("auth", Reply(535, "5.7.3", ("Authentication unsuccessful",)))
    assert client.usable
    assert refusal(client.challenge) == "status 401, scope mail, schemes bearer"


@pytest.mark.parametrize("mechanism", [XOAUTH2, OAUTHBEARER])
def test_a_long_token_waits_for_the_go_ahead(mechanism: str) -> None:
    client = ready()
    client.authenticate(bearer(mechanism, "u", "t" * 2000, "h", 25))
    assert client.data_to_send() == f"AUTH {mechanism}\r\n".encode()  # RFC 4954 §4
    client.receive_data(b"334 \r\n")
    assert len(client.data_to_send()) > 2600
    client.receive_data(b"235 in\r\n")
    assert client.next_event() == Answered("auth", Reply(235, "", ("in",)))


def test_who_takes_a_token_after_refusing_it_breaks_the_protocol() -> None:
    client = ready()
    client.authenticate(bearer(XOAUTH2, "u", "t", "h", 25))
    client.receive_data(b"334 e30=\r\n235 in\r\n")
    with pytest.raises(RemoteProtocolError):
        client.next_event()


@pytest.mark.parametrize(("user", "token"), [("a\1b", "t"), ("a", "t\1auth=x"), ("a\r\n", "t"), ("a", "t\0")])
def test_nothing_can_be_smuggled_into_the_message(user: str, token: str) -> None:
    with pytest.raises(LocalProtocolError):
        bearer(XOAUTH2, user, token, "h", 25)


def test_a_name_with_a_comma_is_one_name() -> None:
    said = bearer(OAUTHBEARER, "a=b,c", "t", "h", 25).command.split(b" ")[2]
    assert base64.b64decode(said).startswith(b"n,a=a=3Db=2Cc,\1")


@pytest.mark.parametrize("challenge", ["", "!", "bm8=", "W10=", "eyJzdGF0dXMiOjF9", "/w==", "A" * 5001])
def test_what_is_no_reason_says_nothing(challenge: str) -> None:
    assert refusal(challenge) == ""


def test_the_first_that_both_know_is_taken() -> None:
    assert choose("login PLAIN", ("PLAIN", "LOGIN")) == "PLAIN"
    assert choose("XOAUTH2", ("PLAIN", "LOGIN")) == ""
    assert choose("", ("PLAIN",)) == ""
