"""Exceptions are for broken things only; a peer's failed check is data and a refusal is a decision.

MtaError
├── ConfigurationError     connectors.yaml cannot be used; carries every problem
├── UsageError             a command was called with something that cannot be
├── Unanswered             a live worker did not answer a command to its end
├── StorageError           the queue could not write or read; nothing was acknowledged
│   ├── StorageFull        no space, no descriptors, read-only: temporary, heals by itself (452 4.3.1)
│   ├── ShardLocked        another process owns this queue file
│   ├── LogRefused         a witness knows another log than the vault's: nothing opens, nothing is signed
│   └── SchemaTooNew       the queue file was written by a later version
├── ProtocolError
│   ├── LocalProtocolError     we broke the protocol: a defect of ours
│   └── RemoteProtocolError    the peer broke it
├── ConnectFailed          the peer could not be reached
├── TlsFailed              the handshake did not come about
├── ContractChanged        a reload came before a message was sent: nothing was taken, it goes by the new contract
├── PolicyNotFetched       an MTA-STS policy could not be had from its host
├── SmimeError             S/MIME that cannot be written for this certificate or key, or cannot be read at all
│   └── SmimeUnsupported   an algorithm that is not known here
├── JsonError              JSON that two readers could read differently, or that has no canonical form
├── JoseError              a signed token or a key of JOSE that cannot be read or does not hold
├── TdfError               a protected file that cannot be written, or cannot be read at all
│   ├── TdfTampered        it does not hold under its content key
│   └── TdfUnsupported     in order, as far as one can see, and of a kind that is not known here
├── KasError               a request to the key server that cannot be read, or must be refused
├── TokenNotGiven          an issuer gives no access token; the text says what it answered, without secrets
├── KeyAway                a root key cannot be reached now: nothing opens, and later it will
├── IssuerAway             an issuer of tokens does not answer now, or not as one: later
├── WitnessAway            a witness of the vault's log does not answer now, or not as one: later
├── NotOpened              an item does not open for this reader; `word` says why, for the log
└── TlogError              a note, checkpoint, tile or proof that cannot be read or does not hold
"""

from __future__ import annotations

from collections.abc import Mapping


class MtaError(Exception):
    """Anything of ours that is broken; its text is for the administrator, never for a peer."""


class ConfigurationError(MtaError):
    """connectors.yaml cannot be used. `problems` holds printable lines, one a problem.

    `files`: what was read on the way, with stamps (contract/watch.py): a change of one of these may mend it.
    """

    def __init__(self, problems: tuple[str, ...], files: Mapping[str, tuple[int, ...]] | None = None) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.files = files or {}


class UsageError(MtaError):
    """A command was called with something that cannot be."""


class Unanswered(MtaError):
    """A live worker did not answer a command to its end; what it had done by then stays done."""


class StorageError(MtaError):
    """The queue could not write or read; nothing was acknowledged."""


class StorageFull(StorageError):
    """No space, no descriptors or a read-only file: temporary, heals by itself."""


class ShardLocked(StorageError):
    """Another process owns this queue file."""


class LogRefused(StorageError):
    """A witness knows another log than the vault's: it came from an old backup. The text says who, and what to do."""


class SchemaTooNew(StorageError):
    """The queue file was written by a later version of mta; it is left untouched."""


class ProtocolError(MtaError):
    """SMTP was broken by one of the two sides."""


class LocalProtocolError(ProtocolError):
    """We broke the protocol: a defect of ours."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol. `phase` names what was waited for; after `data_final` the outcome is unknown."""

    def __init__(self, text: str = "", *, phase: str = "") -> None:
        super().__init__(text)
        self.phase = phase


class ConnectFailed(MtaError):
    """The peer could not be reached, or was lost. `phase` names what was waited for (`connect`, `mail`, ...).

    Lost in `data_final`, it is unknown whether the message was taken. `ours`: this machine lacked something (a
    descriptor, memory), which says nothing of the peer.
    """

    def __init__(self, text: str = "", *, phase: str = "", ours: bool = False) -> None:
        super().__init__(text)
        self.phase = phase
        self.ours = ours


class TlsFailed(MtaError):
    """The TLS handshake did not come about; the text is OpenSSL's reason."""


class ContractChanged(MtaError):
    """The configuration was exchanged while a message was on its way out. No final dot was sent."""


class PolicyNotFetched(MtaError):
    """An MTA-STS policy could not be had. `result` is the word of RFC 8460 §4.3 for it, `detail` ours."""

    def __init__(self, result: str, detail: str) -> None:
        super().__init__(f"{result}: {detail}")
        self.result = result
        self.detail = detail


class TokenNotGiven(MtaError):
    """An issuer gives no access token; the text says what it answered, without secrets."""


class SmimeError(MtaError):
    """S/MIME that cannot be written with this key or certificate, or cannot be read at all; the text says why."""


class SmimeUnsupported(SmimeError):
    """S/MIME in order, as far as one can see, with an algorithm that is not known here, or too weak to be used."""


class JsonError(MtaError):
    """JSON that two readers could read differently (a name twice, NaN), is too deep, or has no canonical form."""


class JoseError(MtaError):
    """A signed token or a key of JOSE that cannot be read, or does not hold; the text says why and is for our log."""


class TdfError(MtaError):
    """A protected file that cannot be written so, or cannot be read at all; the text says what was seen where."""


class TdfTampered(TdfError):
    """A protected file that does not hold under its content key: somebody changed it, or the key is another's."""


class TdfUnsupported(TdfError):
    """A protected file in order, as far as one can see, of a kind that is not known here."""


class KasError(MtaError):
    """A request to the key server that is refused. `code` is Connect's word for it; the text is for our log only."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class TlogError(MtaError):
    """A note, checkpoint, tile or proof of a transparency log that cannot be read, or does not hold."""


class KeyAway(MtaError):
    """A root key cannot be reached now: its token is away, hangs or is busy. Nothing opens; later it will."""


class WitnessAway(MtaError):
    """A witness of the vault's log does not answer now, or not as one; later it may."""


class IssuerAway(MtaError):
    """Somebody else's issuer of tokens does not answer now, or not as an issuer does."""


class NotOpened(MtaError):
    """An item does not open for this reader. `word` (policy/reader.py) is for the log; the reader hears `forbidden`."""

    def __init__(self, word: str, text: str) -> None:
        super().__init__(text)
        self.word = word
