"""What the demo says: lines to try, and the log in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mta.cli.demo.world import World, with_ports
from mta.cli.paint import Paint, clock
from mta.observe import events

_OUTSIDE = "--local-interface 127.0.0.2"  # not Contoso's own network
_TO_US = f"swaks --server 127.0.0.1:2525 {_OUTSIDE} --to alice@contoso.example"
_BOB = "--from bob@fabrikam.example"


@dataclass(frozen=True, slots=True)
class Try:
    """A line for the newcomer's shell, and what the relay will say."""

    title: str
    command: str
    expect: str


TRIES = (
    Try(
        "Contoso writes to the partner: signed, encrypted, and over verified TLS with Contoso's certificate",
        "swaks --server 127.0.0.1:2525 -tls --from alice@contoso.example --to partner@fabrikam.example",
        "250 2.0.0 Queued as",
    ),
    Try(
        "to somebody without a certificate: they get a notice (in var/mailboxes), whose link opens the page",
        "swaks --server 127.0.0.1:2525 -tls --from alice@contoso.example --to guest@fabrikam.example",
        "250 2.0.0 Queued as",
    ),
    Try(
        "Fabrikam writes to Contoso and shows its certificate",
        f"{_TO_US} {_BOB} -tls --tls-cert certs/mail.fabrikam.example.pem --tls-key certs/mail.fabrikam.example.key",
        "250 2.0.0 Queued as",
    ),
    Try(
        "refused: the same without TLS",
        f"{_TO_US} {_BOB}",
        "530 5.7.0 Must issue a STARTTLS command first",
    ),
    Try(
        "refused: a certificate with the right name from the wrong authority",
        f"{_TO_US} {_BOB} -tls --tls-cert certs/stranger.pem --tls-key certs/stranger.key",
        "550 5.7.1 the client certificate is not issued by an authority accepted for fabrikam.example",
    ),
    Try(
        "refused: a stranger who only writes the partner's name into From",
        f'{_TO_US} --from mallory@stranger.example -tls --h-From "Bob <bob@fabrikam.example>"',
        "550 5.7.1 fabrikam.example requires a client certificate of that organisation",
    ),
)


def to_try(world: World, paint: Paint) -> str:
    """The lines, as they work for this world."""
    lines = [paint("head", "Try it from another terminal:"), "", f"  cd {world.folder}"]
    for one in TRIES:
        lines += [
            "",
            f"  {paint('dim', '# ' + one.title)}",
            f"  {with_ports(one.command, world.ports)}",
            f"  {paint('dim', '# -> ' + one.expect)}",
        ]
    return "\n".join(lines)


def log_line(company: str, event: dict[str, Any], paint: Paint) -> str:
    """One line of a relay's log for people; empty for what nobody needs to see here."""
    if "text" in event:
        return f"{paint('name', company)}  {paint('dim', event['text'])}"
    if event["event"] in _UNSAID:
        return ""
    kind = {"error": "bad", "warning": "warn"}.get(event.get("level", ""), "good")
    words = _sentence(event)
    return (
        f"{clock(event['time'])}  {paint('name', f'{company:8}')}  {paint(kind, event['event'])}  {paint('dim', words)}"
    )


_UNSAID = frozenset({events.SESSION_CLOSED, events.SERVER_STARTED, events.WORKER_STARTED, events.SERVER_READY})
_COMMON = frozenset({"time", "level", "event", "worker", "session"})


def _sentence(event: dict[str, Any]) -> str:
    sender = event.get("sender") or "<>"
    match event["event"]:
        case events.MESSAGE_ACCEPTED:
            tls = "in clear" if event["tls"] == "none" else f"over TLS {event['tls']}"
            return f"{event['message']} from {sender} at {event['client']} {tls}, by {event['connector']}"
        case events.DELIVERED:
            to = ", ".join(event["to"])
            return f"{event['message']} to {to} at {event['host']}, tls={event['tls']}: {event['reason']}"
        case events.MAIL_REFUSED:
            why = "; ".join(event["reasons"])
            return f"{event['client']} as {sender} at {event['stage']}: {event['reply']}, because {why}"
        case _:
            return " ".join(f"{key}={value}" for key, value in event.items() if key not in _COMMON and value != "")
