"""The commands and their options; what each does is in the file of its name, imported when it is called."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from mta import __version__
from mta.cli.connectors import connectors
from mta.cli.directory_commands import directory
from mta.cli.ending import end_with
from mta.cli.queue_commands import From, Limit, Since, Status, To, queue
from mta.cli.report_commands import reports
from mta.cli.screen import run_command
from mta.cli.smime_commands import smime
from mta.cli.vault_commands import register

app = typer.Typer(
    name="mta",
    help="A mail transfer agent that relays under one contract per partner.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(queue)
app.add_typer(reports)
app.add_typer(smime)
keys = typer.Typer(name="keys", help="Make and show keys of our own.", no_args_is_help=True)
app.add_typer(keys)
certs = typer.Typer(
    name="certs", help="Certificates: ours, our partners' and those of authorities.", no_args_is_help=True
)
app.add_typer(certs)
dkim = typer.Typer(name="dkim", help="Keys that sign mail of our domains.", no_args_is_help=True)
keys.add_typer(dkim)
sts = typer.Typer(name="sts", help="Our own MTA-STS policies.", no_args_is_help=True)
app.add_typer(sts)
app.add_typer(directory)
app.add_typer(connectors)

register(app, keys)

Config = Annotated[str, typer.Option("--config", "-c", help="The configuration.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
_CONFIG = "connectors.yaml"


def main() -> None:
    """Run what was typed, and exit."""
    end_with(lambda: run_command(app))


def _version(wanted: bool) -> None:
    if wanted:
        print(f"mta {__version__}")
        raise typer.Exit


@app.callback()
def _common(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False) -> None:
    pass


@app.command()
def serve(
    config: Config = _CONFIG,
    parent: Annotated[int, typer.Option("--parent", hidden=True, help="Do not outlive this process.")] = 0,
) -> None:
    """Run the relay. SIGTERM drains and stops, SIGHUP reloads."""
    from mta.app.serve import serve as run

    raise typer.Exit(run(config, parent))


@app.command(hidden=True)
def web(
    held: Annotated[bool, typer.Option("--held", hidden=True, help="Orders come by standard input.")] = False,
    config: Config = _CONFIG,
) -> None:
    """The key server and the pages by themselves; `mta serve` starts them beside the relay."""
    from mta.cli.web import web as run

    raise typer.Exit(run(config, held))


@app.command()
def init(
    hostname: Annotated[str, typer.Option("--hostname", help="The name of this relay, as it says in EHLO.")] = "",
    domain: Annotated[list[str] | None, typer.Option("--domain", help="An own domain; may be given often.")] = None,
    deliver_to: Annotated[str, typer.Option("--deliver-to", help="HOST:PORT with the mailboxes.")] = "",
    network: Annotated[
        list[str] | None, typer.Option("--network", help="A network that may send to anyone; may be given often.")
    ] = None,
    partner: Annotated[str, typer.Option("--partner", help="A partner's domain.")] = "",
    listen: Annotated[str, typer.Option("--listen", help="ADDRESS:PORT for mail.")] = "0.0.0.0:25",
    certificate: Annotated[str, typer.Option("--certificate", help="Our certificate's chain, PEM.")] = "",
    key: Annotated[str, typer.Option("--key", help="Its private key.")] = "",
    config: Config = _CONFIG,
) -> None:
    """Write a first configuration; what no option says is asked for."""
    from mta.cli.init import Answers, FirstFile
    from mta.cli.init import init as run

    answers = Answers(hostname, tuple(domain or ()), deliver_to, tuple(network or ()), partner)
    raise typer.Exit(run(answers, FirstFile(config, listen, certificate, key)))


@app.command(hidden=True)
def man(folder: Annotated[str, typer.Argument(help="Where the pages are written.")]) -> None:
    """Write manual pages out of the commands' own help."""
    from mta.cli.man import man as run

    raise typer.Exit(run(app, folder))


@app.command()
def check(
    dns: Annotated[bool, typer.Option("--dns", help="Also look up the records of our DKIM keys.")] = False,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Report every problem of the configuration, each at its line."""
    from mta.cli.check import check as run

    raise typer.Exit(run(config, json, dns))


@app.command()
def status(config: Config = _CONFIG, json: Json = False) -> None:
    """How the relay is, on one screen: workers, sessions, queue, troubles, and each connector since the start."""
    from mta.cli.status import status as run

    raise typer.Exit(run(config, json))


@app.command()
def top(
    every: Annotated[float, typer.Option("--every", help="Seconds between two looks.")] = 2.0,
    times: Annotated[int, typer.Option("--times", min=0, help="So many looks; 0: until Ctrl-C.")] = 0,
    config: Config = _CONFIG,
) -> None:
    """The same again and again, with rates a second."""
    from mta.cli.status import top as run

    raise typer.Exit(run(config, every, times))


@app.command()
def tail(
    connector: Annotated[str, typer.Option("--connector", help="Events of this connector.")] = "",
    to: Annotated[str, typer.Option("--to", help="A part of a recipient's address.")] = "",
    ip: Annotated[str, typer.Option("--ip", help="A part of the name or address of the client or host.")] = "",
    event: Annotated[
        str, typer.Option("--event", help="The beginning of the event's name: delivery, mail.refused.")
    ] = "",
    lines: Annotated[int, typer.Option("--lines", min=0, help="End after so many; 0: at Ctrl-C.")] = 0,
    config: Config = _CONFIG,
    json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
) -> None:
    """What happens, as it happens. Mail never waits for it: what comes too fast is left out, and counted."""
    from mta.cli.tail import tail as run

    request = {"connector": connector, "to": to, "ip": ip, "event": event}
    raise typer.Exit(run(config, request, lines, json))


@app.command()
def explain(
    sender: Annotated[str, typer.Option("--from", help="Envelope sender; <> for the null sender.")],
    to: Annotated[list[str], typer.Option("--to", help="Recipient; may be given several times.")],
    client_ip: Annotated[str, typer.Option("--client-ip", help="Address of the peer.")] = "192.0.2.1",
    client_cert: Annotated[str, typer.Option("--client-cert", help="PEM chain that the peer shows.")] = "",
    tls: Annotated[str, typer.Option("--tls", help="TLS version of the session, e.g. 1.3; none without.")] = "",
    helo: Annotated[str, typer.Option("--helo", help="What the peer says in EHLO.")] = "",
    message: Annotated[str, typer.Option("--message", help="A message that is authenticated and judged, too.")] = "",
    nameserver: Annotated[str, typer.Option("--nameserver", help="HOST:PORT to ask instead of the usual.")] = "",
    dns: Annotated[bool, typer.Option("--dns", help="Also look up the next hops, with DANE and MTA-STS.")] = False,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Say what would happen to a message, and why: connectors, losers, authentication, TLS, route."""
    from mta.cli.explain import ExplainOptions
    from mta.cli.explain import explain as run

    options = ExplainOptions(
        config=config,
        sender=sender,
        recipients=tuple(to),
        client_ip=client_ip,
        client_cert=client_cert,
        tls=tls,
        helo=helo,
        message=message,
        nameserver=nameserver,
        dns=dns,
        json_output=json,
    )
    raise typer.Exit(run(options))


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the first message.")] = False,
    config: Annotated[str, typer.Option("--config", "-c", help="Run this configuration as the first company.")] = "",
) -> None:
    """Two companies on loopback, a throw-away PKI, one message between them by forced TLS."""
    from mta.cli.demo import demo as run

    raise typer.Exit(run(config, once=once))


@app.command()
def verify(
    ip: Annotated[str, typer.Option("--ip", help="Address of the peer that delivered the message.")] = "",
    helo: Annotated[str, typer.Option("--helo", help="What it said in EHLO.")] = "",
    mail_from: Annotated[str, typer.Option("--mail-from", help="Envelope sender; <> for the null sender.")] = "",
    nameserver: Annotated[str, typer.Option("--nameserver", help="HOST:PORT to ask instead of the usual.")] = "",
    now: Annotated[float | None, typer.Option("--now", help="Judge as of this epoch second.")] = None,
    second_opinion: Annotated[
        bool, typer.Option("--second-opinion", help="Also say what dkimpy and authres make of it, and why they differ.")
    ] = False,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Judge SPF, DKIM, DMARC and ARC of the message on standard input."""
    from mta.cli.verify import VerifyOptions
    from mta.cli.verify import verify as run

    raise typer.Exit(run(VerifyOptions(ip, helo, mail_from, nameserver, now, config, json, second_opinion)))


@app.command()
def probe(
    whom: Annotated[str, typer.Argument(help="A connector, or a recipient domain.")] = "",
    all: Annotated[bool, typer.Option("--all", help="Every connector.")] = False,
    send: Annotated[str, typer.Option("--send", help="Also send a test message to this address.")] = "",
    days: Annotated[int, typer.Option("--days", min=0, help="Fewer days left of a certificate are not good.")] = 14,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Dial every host of a partner as delivery does and compare what it shows with the contract."""
    from mta.cli.probe import ProbeOptions
    from mta.cli.probe import probe as run

    raise typer.Exit(run(ProbeOptions(config, whom, all, send, days, json)))


@app.command()
def trace(
    id: Annotated[str, typer.Argument(help="Id of a message, or its beginning.")] = "",
    sender: From = "",
    to: To = "",
    since: Since = "",
    status: Status = "",
    limit: Limit = 20,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """The history of a message and the evidence of every connection."""
    from mta.cli.trace import trace as run

    request = {"id": id, "sender": sender, "recipient": to, "since": since, "state": status, "limit": limit}
    raise typer.Exit(run(config, request, json))


@app.command()
def nodes(config: Config = _CONFIG, json: Json = False) -> None:
    """The nodes of a shared queue: which configuration each has, its lease, what it has in hand."""
    from mta.cli.nodes import nodes as run

    raise typer.Exit(run(config, json))


@app.command()
def report(
    connector: Annotated[str, typer.Option("--connector", help="The partner.")],
    month: Annotated[str, typer.Option("--month", help="Like 2026-11; default: the one that ended last.")] = "",
    form: Annotated[
        Literal["text", "json", "csv", "html"], typer.Option("--format", help="How it is written.")
    ] = "text",
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """A month with one partner on one page, for an auditor: TLS, certificates, authentication, every exception."""
    from mta.cli.month import report as run

    raise typer.Exit(run(config, connector, month, "json" if json else form))


@certs.command("list")
def certs_list(
    days: Annotated[int, typer.Option("--days", min=0, help="Exit 1 if something ends sooner.")] = 14,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Every certificate, CA, pin and list of the configuration with its days left, the most urgent first."""
    from mta.cli.certs import certs_list as run

    raise typer.Exit(run(config, days, json))


@dkim.command("new")
def dkim_new(
    domain: Annotated[str, typer.Argument(help="One of our domains.")],
    selector: Annotated[str, typer.Argument(help="The name of the key, like s1 or 2026-11.")],
    kind: Annotated[Literal["rsa", "ed25519"], typer.Option("--type", help="The kind of key.")] = "rsa",
    bits: Annotated[int, typer.Option("--bits", min=1024, max=4096, help="Size of an RSA key.")] = 2048,
    out: Annotated[str, typer.Option("--out", help="The file; default: certs/dkim/DOMAIN-SELECTOR.key.")] = "",
    service: Annotated[
        Literal["email", "tlsrpt"], typer.Option("--service", help="tlsrpt: for TLS reports and nothing else.")
    ] = "email",
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Write a new private key, and print its DNS record and the lines for the configuration."""
    from mta.cli.keys import NewKey
    from mta.cli.keys import new as run

    raise typer.Exit(run(NewKey(domain, selector, kind, bits, out, config, service), json))


@dkim.command("show")
def dkim_show(config: Config = _CONFIG, json: Json = False) -> None:
    """Print the DNS records of the keys in the configuration."""
    from mta.cli.keys import show as run

    raise typer.Exit(run(config, json))


@sts.command("policy")
def sts_policy(
    domains: Annotated[list[str] | None, typer.Argument(help="Domains of ours; without any all of them.")] = None,
    mode: Annotated[
        Literal["enforce", "testing", "none"], typer.Option("--mode", help="Begin with testing.")
    ] = "testing",
    mx: Annotated[
        list[str] | None, typer.Option("--mx", help="A host of the MX records, or *.x; default: our name.")
    ] = None,
    max_age: Annotated[int, typer.Option("--max-age", help="How long others remember it, in seconds.")] = 604_800,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Print the policy file and the DNS record with which others send us mail over TLS only."""
    from mta.cli.sts import PolicyOptions, policy

    options = PolicyOptions(config, tuple(domains or ()), mode, tuple(mx or ()), max_age)
    raise typer.Exit(policy(options, json))
