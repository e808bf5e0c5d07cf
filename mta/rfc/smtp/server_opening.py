"""What comes before the first command, as an SMTP server sees it: the balancer's header, TLS, the greeting."""

from __future__ import annotations

from mta.errors import LocalProtocolError
from mta.model.reply import Reply
from mta.rfc.smtp import server_events as events
from mta.rfc.smtp import server_replies as replies
from mta.rfc.smtp.proxy import MAX_HEADER, ProxyError, parse_proxy
from mta.rfc.smtp.server_input import ServerInput
from mta.rfc.smtp.server_state import ON_TLS, State
from mta.rfc.smtp.server_terms import Terms
from mta.rfc.smtp.server_voice import ServerVoice

_OPENED, _TLS_WANTED = events.Opened(), events.TlsWanted()


class ServerOpening(ServerVoice):
    """From the connection to the greeting, and through every handshake. What follows is in server.py."""

    def __init__(self, terms: Terms, *, implicit_tls: bool) -> None:
        super().__init__(terms)
        self.secure = False
        self._implicit_tls = implicit_tls
        self._input = ServerInput()
        self._esmtp = False

    @property
    def buffered(self) -> int:
        """Octets that have arrived and were not looked at."""
        return len(self._input.octets)

    def take_all(self) -> bytes:
        """The octets that arrived before TLS could take them: the client's half of an implicit handshake."""
        return self._input.take_all()

    def begin(self, *, proxied: bool = False) -> None:
        """The client has connected; `proxied`: by a balancer, whose header comes before TLS and the greeting."""
        self._require(State.START)
        if proxied:
            self.state = State.PROXY
        else:
            self._open()

    def greet(self) -> None:
        """The client is welcome. Who has talked before is not greeted."""
        self._require(State.GREETING)
        if self._input.octets and self._terms.forbid_early_talkers:
            self._say(replies.EARLY)
            self._end("talked before the greeting")
            return
        self._say(Reply(220, "", (f"{self._terms.hostname} ESMTP",)))
        self.state = State.HELLO

    def tls_established(self) -> None:
        """The handshake is done. RFC 3207 §4.2: what the client said in clear does not count."""
        if self.state is State.CLOSED:  # meanwhile
            return
        leads_to = ON_TLS.get(self.state)
        if leads_to is None:
            raise LocalProtocolError(f"a TLS handshake in state {self.state.value}")
        self.state = leads_to
        self.secure = True
        self._esmtp = False
        if leads_to is State.GREETING:
            self._events.append(_OPENED)

    def _require(self, state: State) -> None:
        if self.state is not state:
            raise LocalProtocolError(f"{state.value} is over, or to come: the state is {self.state.value}")

    def _open(self) -> None:
        self.state = State.FIRST_TLS if self._implicit_tls else State.GREETING
        self._events.append(_TLS_WANTED if self._implicit_tls else _OPENED)

    def _read_proxy(self) -> None:
        try:
            parsed = parse_proxy(self._input.peek(MAX_HEADER))
        except ProxyError as error:
            self._end(f"PROXY: {error}")  # without a word
            return
        if parsed is not None:
            self._input.take(parsed.length)
            self._events.append(events.Proxied(parsed.source, parsed.source_port))
            self._open()
