"""`mta init`: a first connectors.yaml out of five answers, from options or from whoever sits at the terminal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mta.config.load import examine_text
from mta.config.values import ValueFault, domain_name, host_port, network
from mta.errors import UsageError

_OF_OURS = ("127.0.0.1/32", "::1/128")


@dataclass(frozen=True, slots=True)
class Answers:
    """What a first relay needs to know. Empty: to be asked for; `partner` may stay so."""

    hostname: str = ""
    domains: tuple[str, ...] = ()
    deliver_to: str = ""
    networks: tuple[str, ...] = ()
    partner: str = ""


@dataclass(frozen=True, slots=True)
class FirstFile:
    """Where it is written, what it listens on, and the certificate it shows; all of them have good defaults."""

    path: str
    listen: str = "0.0.0.0:25"
    chain: str = ""
    key: str = ""
    store: str = "sqlite:var/queue"


@dataclass(frozen=True, slots=True)
class _Question:
    option: str
    words: str
    example: str
    judge: Callable[[object], object]
    several: bool = False
    default: str = ""


_QUESTIONS = {
    "hostname": _Question(
        "--hostname", "The name of this relay, as it says in EHLO", "mx.contoso.example", domain_name
    ),
    "domains": _Question("--domain", "Your own domains", "contoso.example", domain_name, several=True),
    "deliver_to": _Question(
        "--deliver-to", "The host with your mailboxes", "mail.contoso.example:25", lambda given: host_port(given, 25)
    ),
    "networks": _Question(
        "--network", "Networks whose machines may send to anyone", "10.0.0.0/8", network, True, " ".join(_OF_OURS)
    ),
    "partner": _Question("--partner", "A partner's domain, or nothing", "fabrikam.example", domain_name),
}


def init(answers: Answers, file: FirstFile) -> int:
    """Write the file and say what comes next.

    Raises UsageError: an answer is missing or wrong, or the file is there already.
    """
    if os.path.lexists(file.path):
        raise UsageError(f"{file.path} is there already: move it away, or name another with --config")
    if bool(file.chain) != bool(file.key):
        raise UsageError("--certificate and --key belong together: the chain as PEM, and its private key")
    text = compose(_complete(answers), file)
    examination = examine_text(text, file.path, now=time.time(), cpus=1)
    if examination.configuration is None:
        raise UsageError("; ".join(str(problem) for problem in examination.wrong))
    _write(file.path, text)
    print(f"{file.path} is written: {len(examination.configuration.connectors)} connectors. What to do next:")
    for line in _next(file):
        print(f"  {line}")
    return 0


def compose(answers: Answers, file: FirstFile) -> str:
    """The file's text: every value in quotes, so that none can be taken for more than a value."""
    first = answers.domains[0]
    partner = _partner(answers.partner) if answers.partner else ""
    shown = f"\n  certificate: {{chain: {_quoted(file.chain)}, key: {_quoted(file.key)}}}" if file.chain else _UNSHOWN
    domains = "\n".join(
        _DOMAIN.format(name=_quoted(each), host=_quoted(answers.deliver_to)) for each in answers.domains
    )
    return _FILE.format(
        hostname=_quoted(answers.hostname),
        postmaster=_quoted(f"postmaster@{first}"),
        listen=_quoted(file.listen),
        shown=shown,
        store=_quoted(file.store),
        domains=domains,
        networks=", ".join(map(_quoted, answers.networks)),
        partner=partner,
    )


def _complete(answers: Answers) -> Answers:
    """All answers, judged. Raises UsageError with the option that is missing, or that says what cannot be."""
    given: dict[str, str | tuple[str, ...]] = {}
    for name, question in _QUESTIONS.items():
        value = getattr(answers, name)
        words = list(value) if question.several else [value] if value else []
        given[name] = _judged(question, words) if words else _asked(name, question)
    return Answers(**given)  # type: ignore[arg-type]  # each of the kind that its question says


def _asked(name: str, question: _Question) -> str | tuple[str, ...]:
    if not sys.stdin.isatty():
        if question.default or name == "partner":
            return tuple(question.default.split()) if question.several else question.default
        raise UsageError(f"{question.option} is missing, for example {question.option} {question.example}")
    while True:
        hint = f"[{question.default}]" if question.default else f"(for example {question.example})"
        typed = input(f"{question.words} {hint}: ").replace(",", " ").split() or question.default.split()
        if not typed and name == "partner":
            return ""
        try:
            if typed:
                return _judged(question, typed)
        except UsageError as error:
            print(error, file=sys.stderr)


def _judged(question: _Question, words: Sequence[str]) -> str | tuple[str, ...]:
    if not question.several and len(words) > 1:
        raise UsageError(f"{question.option}: expected one, found {len(words)}")
    for word in words:
        try:
            question.judge(word)
        except ValueFault as fault:
            hint = f" ({fault.hint})" if fault.hint else f", for example {question.example}"
            raise UsageError(f"{question.option}: {fault}{hint}") from fault
    return tuple(words) if question.several else words[0]


def _write(path: str, text: str) -> None:
    """Whole or not at all; a file that came meanwhile stays."""
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        if not isinstance(error, FileExistsError):
            with contextlib.suppress(OSError):
                os.unlink(path)
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _next(file: FirstFile) -> Iterable[str]:
    named = "" if file.path == "connectors.yaml" else f" --config {file.path}"
    if not file.chain:
        yield "get a certificate and write it below server: partners will ask for TLS"
    yield f"mta check{named}     every problem, each at its line"
    yield f"mta explain --from you@... --to somebody@...{named}     what would happen to a message, and why"
    yield f"mta serve{named}     the relay itself"


def _partner(domain: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", domain.lower()).strip("-")
    return _PARTNER.format(name=name, domain=_quoted(domain), below=_quoted(f"*.{domain}"))


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


_UNSHOWN = """
  # certificate: {chain: certs/relay.pem, key: certs/relay.key}   # without one nobody can send to us by TLS"""

_DOMAIN = """  {name}: {{deliver_to: [{host}], connector: internal, recipients: any}}"""

_PARTNER = """
  {name}:                              # a partner: one object, two directions
    domains: [{domain}, {below}]
    inbound:                           # what their mail must prove; a client certificate proves more:
      identity: none                   #   tls: {{client_certificate: {{names: [...], ca: their-ca.pem}}}}
    outbound:                          # never in clear, never to a host without their certificate
      route: mx
      tls: {{level: verified, min_version: "1.2"}}
"""

_FILE = """\
# Written by `mta init`. docs/connectors.md explains every key; `mta check` tells every problem at its line.

server:
  hostname: {hostname}
  postmaster: {postmaster}
  listen: [{{address: {listen}}}]{shown}
  queue: {{store: {store}}}

domains:                               # what we take mail for, and where it goes
{domains}

connectors:
  internal:                            # our own systems: they may send to anyone
    relay: true
    inbound: {{networks: [{networks}]}}
    outbound: {{tls: {{level: opportunistic}}}}
{partner}
  default:                             # everyone else
    inbound: {{tls: optional}}
    outbound: {{route: mx, tls: {{level: opportunistic}}}}
"""
