"""`mta sts policy`: what to publish, so that others send us mail over TLS to our own hosts only."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates

from mta.app.load import load
from mta.config.values import ValueFault, domain_name
from mta.contract.configuration import Configuration
from mta.errors import UsageError
from mta.model.sts import NONE, StsPolicy
from mta.rfc.mtasts.parse import MAX_AGE, PolicyFault, parse_policy
from mta.rfc.mtasts.write import policy_file, record
from mta.rfc.pkix.certificate import certificate_facts
from mta.rfc.pkix.names import match_any


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """What was asked for. No `domains`: all of ours; no `mx`: our own name."""

    config: str
    domains: tuple[str, ...] = ()
    mode: str = "testing"
    mx: tuple[str, ...] = ()
    max_age: int = 604_800


def policy(options: PolicyOptions, json_output: bool) -> int:
    """Print the policy file and the records of each domain. Raises UsageError and ConfigurationError."""
    configuration = load(options.config)
    made = _policy(options, configuration)
    shown = [_published(name, made) for name in _domains(options, configuration)]
    if json_output:
        print(json.dumps({"policies": shown}, indent=2))
    else:
        print("\n\n".join(_story(each) for each in shown) or "there are no domains of ours")
    for warning in _doubts(made, configuration):
        print(f"mta: {warning}", file=sys.stderr)
    return 0 if shown else 1


def _policy(options: PolicyOptions, configuration: Configuration) -> StsPolicy:
    """Judged by the same code as those of others."""
    if not 0 <= options.max_age <= MAX_AGE:
        raise UsageError(f"--max-age: expected up to {MAX_AGE} seconds, saw {options.max_age}")
    mx = options.mx or (configuration.server.hostname.lower(),)
    try:
        return parse_policy(policy_file(StsPolicy(options.mode, mx, options.max_age)).encode())
    except PolicyFault as fault:
        raise UsageError(str(fault)) from fault


def _domains(options: PolicyOptions, configuration: Configuration) -> list[str]:
    try:
        wanted = [domain_name(name) for name in options.domains]
    except ValueFault as fault:
        raise UsageError(str(fault)) from fault
    for name in wanted:
        if name not in configuration.domains:
            raise UsageError(f"{name} is none of our domains")
    return wanted or list(configuration.domains)


def _published(domain: str, made: StsPolicy) -> dict[str, str]:
    return {
        "domain": domain,
        "url": f"https://mta-sts.{domain}/.well-known/mta-sts.txt",
        "policy": policy_file(made),
        "name": f"_mta-sts.{domain}",
        "record": record(made),
    }


def _story(each: dict[str, str]) -> str:
    text = each["policy"].replace("\r\n", "\n")
    return (
        f"; {each['domain']}: serve this as text/plain, with a certificate for mta-sts.{each['domain']}, at\n"
        f'; {each["url"]}\n{text}; and then publish\n{each["name"]}. IN TXT "{each["record"]}"'
    )


def _doubts(made: StsPolicy, configuration: Configuration) -> list[str]:
    """Why others would send us nothing under this policy."""
    if made.mode == NONE:
        return []
    pair = configuration.server.certificate
    if pair is None:
        return ["without server.certificate we offer no TLS: nobody could deliver under this policy"]
    leaf = load_pem_x509_certificates(Path(pair.chain).read_bytes())[0]
    names = certificate_facts(leaf.public_bytes(Encoding.DER)).dns_names
    # RFC 8461 §4.1: the certificate must name the host that was looked up
    return [
        f"our certificate does not name {host}: nobody could deliver to it under this policy"
        for host in made.mx
        if not host.startswith("*.") and not match_any((host,), names)
    ]
