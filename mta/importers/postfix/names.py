"""Whose certificate `match=` of Postfix means (smtp_tls_secure_cert_match), as the `names` of a contract.

`nexthop` is the next hop itself, `dot-nexthop` a name anywhere under it, `hostname` the host that DNS named: without
DNSSEC whatever a forger says, so what is written for it here is never laxer. `verified` without names expects a
configured host, and by MX the recipient's domain or a name under it: `nexthop` and `dot-nexthop` together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from mta.config.values import ValueFault, certificate_name

Tell = Callable[[str, bool], None]  # a difference, and whether it is weaker

_SPOKEN = frozenset({"hostname", "nexthop", "dot-nexthop"})  # in any case of their letters


@dataclass(frozen=True, slots=True)
class Target:
    """Where mail goes. `name` is the next hop, empty where it is each recipient's own domain, or one of several hosts;
    `fixed`: its hosts are configured, not looked up.
    """

    name: str = ""
    fixed: bool = False


def expected_names(asked: Sequence[str], target: Target, tell: Tell) -> list[str]:
    """The `names` of a contract; empty: those that are expected without any."""
    written = [name for word in asked if word.lower() not in _SPOKEN for name in _written(word, tell)]
    spoken = {word.lower() for word in asked} & _SPOKEN
    if not spoken and not written:
        tell("none of the names can be carried over: the domain, or the host, is expected", True)
    if "hostname" in spoken and not target.fixed:
        tell("`match=hostname` believes the MX name that unsigned DNS gave; here it counts from secure DNS only", False)
    if target.fixed:
        return _of_hosts(spoken, written, target.name, tell)
    return _of_domain(spoken, written, target.name, tell)


def _of_hosts(spoken: set[str], written: list[str], name: str, tell: Tell) -> list[str]:
    if not written and spoken != {"dot-nexthop"}:
        return []  # the host that is configured
    if not name or _is_address(name):
        if spoken:
            tell("the names of the hosts stand beside others: add those that are meant to `names`", False)
        return written
    itself = [name] if spoken & {"hostname", "nexthop"} else []
    return [*written, *itself, *(_below(name, tell) if "dot-nexthop" in spoken else ())]


def _of_domain(spoken: set[str], written: list[str], name: str, tell: Tell) -> list[str]:
    domain = spoken - {"hostname"}
    if not written and (not domain or len(domain) == 2):
        return []
    if not name:
        return _of_many(domain, written, tell)
    itself = [name] if "nexthop" in domain else []
    return [*written, *itself, *(_below(name, tell) if "dot-nexthop" in domain else ())]


def _of_many(domain: set[str], written: list[str], tell: Tell) -> list[str]:
    """Of many domains each has a name of its own, which `names` cannot say."""
    if written and domain:
        tell("the recipient's domain stands beside other names: add those that are meant to `names`", False)
    elif domain:
        [word] = domain
        tell(f"`match={word}` alone: here the recipient's domain or any name under it will do", True)
    return written


def _below(name: str, tell: Tell) -> list[str]:
    tell(f"`dot-nexthop` means any depth below {name}; `*.{name}` means one label here", False)
    return [f"*.{name}"]


def _written(word: str, tell: Tell) -> list[str]:
    if word.startswith("."):
        tell(f"{word} means any depth below; `*{word}` means one label here", False)
        word = f"*{word}"
    try:
        return [str(certificate_name(word))]
    except ValueFault as fault:
        tell(f"{word} is no name here: {fault}", False)
        return []


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
