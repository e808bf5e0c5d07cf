"""Asks the DNS whether a host may use a domain: check_host() of RFC 7208 §4, with its limits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from mta.model.address import Mailbox, ascii_lower
from mta.model.auth import AuthResult, SpfOutcome
from mta.ports import AddressAnswer, Clock, DnsStatus, MxAnswer, SenderNames, TxtAnswer
from mta.rfc.spf.macro import MacroContext, MacroString, expand, expand_name, is_domain_name
from mta.rfc.spf.parse import (
    Mechanism,
    SpfRecord,
    network_mask,
    parse_explanation,
    parse_record,
    select_records,
)

MAX_TERMS = 10  # RFC 7208 §4.6.4: terms that cause look-ups
MAX_VOID = 2  # RFC 7208 §4.6.4: look-ups that find nothing
MAX_NAMES = 10  # RFC 7208 §4.6.4: hosts of one `mx`, names of one `ptr`
MAX_SECONDS = 20.0  # RFC 7208 §4.6.4: at least 20 seconds overall
MAX_EXPLANATION = 500  # characters

_VOID = (DnsStatus.NODATA, DnsStatus.NXDOMAIN)


@dataclass(frozen=True, slots=True)
class SpfQuery:
    """Who is asked about. `client` is the peer's address as text, `sender` None the null sender.

    `receiver` is our own name and `now` epoch seconds: both stand in explanations only.
    """

    client: str
    helo: str = ""
    sender: Mailbox | None = None
    receiver: str = ""
    now: float = 0.0


async def check_helo(query: SpfQuery, resolver: SenderNames, clock: Clock | None = None) -> SpfOutcome:
    """RFC 7208 §2.3: the HELO identity. With a `clock` the look-ups end after 20 seconds."""
    return await _judge(query, "postmaster", query.helo, resolver, clock)


async def check_mail_from(query: SpfQuery, resolver: SenderNames, clock: Clock | None = None) -> SpfOutcome:
    """RFC 7208 §2.4: the MAIL FROM identity. With a `clock` the look-ups end after 20 seconds."""
    if query.sender is None:  # RFC 7208 §2.4: the null sender is postmaster at the HELO name
        return await _judge(query, "postmaster", query.helo, resolver, clock)
    # RFC 7208 §4.3: without a local part it is "postmaster"
    return await _judge(query, query.sender.local or "postmaster", query.sender.ascii_domain, resolver, clock)


async def check(query: SpfQuery, resolver: SenderNames, clock: Clock | None = None) -> tuple[SpfOutcome, SpfOutcome]:
    """Both identities, HELO first, side by side; where they are one and the same it is asked about once."""
    if query.sender is None:
        helo = await check_helo(query, resolver, clock)
        return helo, helo
    return await asyncio.gather(check_helo(query, resolver, clock), check_mail_from(query, resolver, clock))


async def _judge(query: SpfQuery, local: str, domain: str, resolver: SenderNames, clock: Clock | None) -> SpfOutcome:
    domain = ascii_lower(domain).removesuffix(".")
    # RFC 7208 §4.3: no domain name, or one label: there is nothing to check
    if not is_domain_name(domain) or "." not in domain or domain.startswith("["):
        return SpfOutcome(AuthResult.NONE, _clean(domain)[:255], "the identity is no domain name of several labels")
    try:
        client = _client(query.client)
    except ValueError:
        return SpfOutcome(AuthResult.NONE, domain, "the address of the client is not known")
    context = MacroContext(local, domain, domain, client, query.helo, query.receiver, now=query.now)
    evaluation = _Evaluation(resolver, client, clock)
    try:
        verdict = await evaluation.check_host(context)
    except _Broken as error:
        return SpfOutcome(error.result, domain, _clean(str(error)))
    explanation = await evaluation.explain(verdict) if verdict.result is AuthResult.FAIL else ""
    return SpfOutcome(verdict.result, domain, verdict.reason, explanation)


def _clean(text: str) -> str:
    """Without anything that is not printable ASCII (RFC 7208 §6.2, §11.5: these are the words of a stranger)."""
    return text if text.isascii() and text.isprintable() else "".join(c for c in text if " " <= c <= "~")


class _Broken(Exception):
    """The evaluation ends here with temperror or permerror, from whatever depth."""

    def __init__(self, result: AuthResult, text: str) -> None:
        super().__init__(text)
        self.result = result


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What one record came to; `explanation` and its context are those of the record that decided."""

    result: AuthResult
    reason: str
    explanation: MacroString | None = None
    context: MacroContext | None = None


@dataclass(slots=True)
class _Evaluation:
    """One check_host() with everything it includes: the limits hold for all of it together."""

    resolver: SenderNames
    client: IPv4Address | IPv6Address
    clock: Clock | None
    terms: int = 0
    void: int = 0
    deadline: float = field(init=False)
    version: int = field(init=False)
    number: int = field(init=False)
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        self.version, self.number = self.client.version, int(self.client)
        self.deadline = self.clock.monotonic() + MAX_SECONDS if self.clock else 0.0

    async def check_host(self, context: MacroContext) -> _Verdict:
        """RFC 7208 §4.4 to §4.7 for one domain; raises _Broken."""
        domain = context.domain
        records = select_records((await self._txt(domain)).records)
        if not records:
            return _Verdict(AuthResult.NONE, f"{domain} publishes no SPF record")
        if len(records) > 1:  # RFC 7208 §4.5
            raise _Broken(AuthResult.PERMERROR, f"{domain} publishes {len(records)} SPF records")
        record = parse_record(records[0])
        if isinstance(record, str):
            raise _Broken(AuthResult.PERMERROR, f"the SPF record of {domain} cannot be read: {record}")
        for mechanism in record.mechanisms:
            if mechanism.version:  # most mechanisms are ip4 and ip6: they cost no look-up
                hit = mechanism.version == self.version and self.number & mechanism.mask == mechanism.network
                reason = f"{mechanism.text} of {domain}" if hit else ""
            else:
                reason = await self._match(mechanism, context)
            if reason:
                return _Verdict(mechanism.result, reason, record.explanation, context)
        if record.redirect is not None:
            return await self._redirect(record, context)
        # RFC 7208 §4.7: nothing matched
        return _Verdict(AuthResult.NEUTRAL, f"no mechanism of {domain} matches")

    async def explain(self, verdict: _Verdict) -> str:
        """RFC 7208 §6.2: the domain's own words for a fail; whatever is wrong with them, there are none."""
        if verdict.explanation is None or verdict.context is None:
            return ""
        try:
            name = await self._target(verdict.explanation, verdict.context)
            self._check_time(name)
            answer = await self.resolver.txt(name) if name else TxtAnswer(DnsStatus.NODATA)
            if answer.status is not DnsStatus.OK or len(answer.records) != 1:
                return ""
            string = parse_explanation(answer.records[0])
            if string is None:
                return ""
            words = expand(string, await self._complete(string, verdict.context))
        except _Broken:
            return ""
        return _clean(words)[:MAX_EXPLANATION]

    async def _redirect(self, record: SpfRecord, context: MacroContext) -> _Verdict:
        assert record.redirect is not None
        self._count_term("redirect", context)
        target = await self._target(record.redirect, context)
        verdict = await self.check_host(replace(context, domain=target)) if target else None
        if verdict is None or verdict.result is AuthResult.NONE:  # RFC 7208 §6.1
            raise _Broken(AuthResult.PERMERROR, f"{context.domain} redirects to {target!r}, which has no SPF record")
        return replace(verdict, reason=f"{verdict.reason}, by redirect of {context.domain}")

    # --- mechanisms: the reason if it matches, else nothing (RFC 7208 §5)

    async def _match(self, mechanism: Mechanism, context: MacroContext) -> str:
        matches = False
        match mechanism.name:
            case "all":
                matches = True
            case "ip4" | "ip6":
                matches = mechanism.version == self.version and int(self.client) & mechanism.mask == mechanism.network
            case "include":
                return await self._include(mechanism, context)
            case _:
                self._count_term(mechanism.text, context)
                target = await self._target(mechanism.domain, context)
                # RFC 7208 §4.8: what becomes no domain name matches nothing
                matches = bool(target) and await self._match_target(mechanism, target)
        return f"{mechanism.text} of {context.domain}" if matches else ""

    async def _match_target(self, mechanism: Mechanism, target: str) -> bool:
        if mechanism.name == "a":
            return self._within(mechanism, await self._addresses(target, self.version))
        if mechanism.name == "mx":
            return await self._match_mx(mechanism, target)
        if mechanism.name == "exists":  # RFC 7208 §5.7: always A, whatever the client has
            return bool((await self._addresses(target, 4)).addresses)
        names = await self._validated_names(count=True)
        return any(name == target or name.endswith(f".{target}") for name in names)

    async def _include(self, mechanism: Mechanism, context: MacroContext) -> str:
        self._count_term(mechanism.text, context)
        target = await self._target(mechanism.domain, context)
        verdict = await self.check_host(replace(context, domain=target)) if target else None
        if verdict is None or verdict.result is AuthResult.NONE:  # RFC 7208 §5.2
            raise _Broken(AuthResult.PERMERROR, f"{mechanism.text} of {context.domain}: there is no SPF record")
        matches = verdict.result is AuthResult.PASS
        return f"{verdict.reason}, by {mechanism.text} of {context.domain}" if matches else ""

    async def _match_mx(self, mechanism: Mechanism, target: str) -> bool:
        self._check_time(target)
        answer: MxAnswer = await self.resolver.mx(target)
        self._check_answer(answer.status, f"MX of {target}", answer.detail)
        if len(answer.records) > MAX_NAMES:  # RFC 7208 §4.6.4
            raise _Broken(AuthResult.PERMERROR, f"{target} has more than {MAX_NAMES} mail servers")
        for record in answer.records:
            # RFC 7505 §3: an empty host is no host
            if is_domain_name(record.host) and self._within(
                mechanism, await self._addresses(record.host, self.version, count=False)
            ):
                return True
        return False

    def _within(self, mechanism: Mechanism, answer: AddressAnswer) -> bool:
        bits, length = (32, mechanism.prefix4) if self.version == 4 else (128, mechanism.prefix6)
        mask = network_mask(length, bits)
        wanted = self.number & mask
        return any(
            address.version == self.version and int(address) & mask == wanted
            for address in map(_parsed, answer.addresses)
        )

    # --- names

    async def _target(self, spec: MacroString | None, context: MacroContext) -> str:
        """The name a term is about; empty where DNS could not hold it."""
        if spec is None:
            return context.domain
        if not context.local.isascii() and spec.letters & {"s", "l"}:
            return ""  # RFC 8616 §4: a local part beyond ASCII matches nothing
        name = expand_name(spec, await self._complete(spec, context) if spec.letters else context)
        return name if is_domain_name(name) else ""

    async def _complete(self, string: MacroString, context: MacroContext) -> MacroContext:
        """The context with the validated name looked up, where the macro p asks for it (RFC 7208 §7.3)."""
        if "p" not in string.letters:
            return context
        names = await self._validated_names(count=False)
        below = [name for name in names if name.endswith(f".{context.domain}")]
        chosen = context.domain if context.domain in names else next(iter([*below, *names]), "unknown")
        return replace(context, validated_name=chosen)

    async def _validated_names(self, *, count: bool) -> tuple[str, ...]:
        """RFC 7208 §5.5: the client's names that lead back to its address; no error ends the evaluation here."""
        if self.names is not None:
            return self.names
        self._check_time(str(self.client))
        answer = await self.resolver.ptr(str(self.client))
        if count and answer.status in _VOID:
            self._count_void(f"PTR of {self.client}")
        names = []
        for name in answer.names[:MAX_NAMES]:  # RFC 7208 §4.6.4: the others are not looked at
            if is_domain_name(name) and self.client in await self._back(name):
                names.append(name)
        self.names = tuple(names)
        return self.names

    async def _back(self, name: str) -> tuple[IPv4Address | IPv6Address, ...]:
        self._check_time(name)
        answer = await (self.resolver.a(name) if self.version == 4 else self.resolver.aaaa(name))
        return tuple(map(_parsed, answer.addresses))

    # --- look-ups and their limits

    async def _txt(self, domain: str) -> TxtAnswer:
        self._check_time(domain)
        answer = await self.resolver.txt(domain)
        if answer.status is DnsStatus.TEMPORARY:  # RFC 7208 §4.4
            raise _Broken(AuthResult.TEMPERROR, f"the SPF record of {domain} cannot be looked up: {answer.detail}")
        return answer

    async def _addresses(self, name: str, version: int, *, count: bool = True) -> AddressAnswer:
        self._check_time(name)
        answer = await (self.resolver.a(name) if version == 4 else self.resolver.aaaa(name))
        self._check_answer(answer.status, f"addresses of {name}", answer.detail, count=count)
        return answer

    def _check_answer(self, status: DnsStatus, what: str, detail: str, *, count: bool = True) -> None:
        if status is DnsStatus.TEMPORARY:  # RFC 7208 §5
            raise _Broken(AuthResult.TEMPERROR, f"the {what} cannot be looked up: {detail}")
        if count and status in _VOID:
            self._count_void(what)

    def _count_void(self, what: str) -> None:
        self.void += 1
        if self.void > MAX_VOID:  # RFC 7208 §4.6.4
            raise _Broken(AuthResult.PERMERROR, f"more than {MAX_VOID} look-ups found nothing, the last: {what}")

    def _count_term(self, text: str, context: MacroContext) -> None:
        self.terms += 1
        if self.terms > MAX_TERMS:  # RFC 7208 §4.6.4
            where = f"{text} of {context.domain}"
            raise _Broken(AuthResult.PERMERROR, f"more than {MAX_TERMS} terms need look-ups, the last: {where}")

    def _check_time(self, name: str) -> None:
        if self.clock is not None and self.clock.monotonic() >= self.deadline:  # RFC 7208 §4.6.4
            text = f"the look-ups took more than {MAX_SECONDS:.0f} seconds, the next would be {name}"
            raise _Broken(AuthResult.TEMPERROR, text)


@lru_cache(maxsize=4096)
def _parsed(address: str) -> IPv4Address | IPv6Address:
    return ip_address(address)


@lru_cache(maxsize=4096)
def _client(address: str) -> IPv4Address | IPv6Address:
    """The peer's address; one that is mapped into IPv6 is IPv4 (RFC 7208 §5)."""
    parsed = ip_address(address)
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed
