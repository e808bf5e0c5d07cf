"""What is counted for the reports that other domains ask for: sessions for TLS-RPT (RFC 8460)."""

from __future__ import annotations

from dataclasses import dataclass

NO_POLICY_FOUND = "no-policy-found"  # RFC 8460 §4.4: neither DANE nor MTA-STS


class TlsResult:
    """The result types of RFC 8460 §4.3; an empty one is a session that succeeded."""

    SUCCESS = ""
    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    HOST_MISMATCH = "certificate-host-mismatch"
    EXPIRED = "certificate-expired"
    NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION_FAILURE = "validation-failure"  # whatever the others do not name
    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    DANE_REQUIRED = "dane-required"
    STS_FETCH_ERROR = "sts-policy-fetch-error"
    STS_INVALID = "sts-policy-invalid"
    STS_WEBPKI_INVALID = "sts-webpki-invalid"


@dataclass(frozen=True, slots=True)
class PublishedTls:
    """The policy that a destination has published, as a report names it (RFC 8460 §4.4).

    `type` is `tlsa`, `sts` or `no-policy-found`; `strings` the TLSA records in presentation form, or the lines of the
    MTA-STS policy; `mx_hosts` the MX patterns of the latter, or the host that the TLSA records are for.
    """

    type: str = NO_POLICY_FOUND
    strings: tuple[str, ...] = ()
    mx_hosts: tuple[str, ...] = ()


NOTHING_PUBLISHED = PublishedTls()


@dataclass(frozen=True, slots=True)
class TlsReportFacts:
    """One session with a host, or one that a policy forbade before it began.

    `policy_domain` is the domain that the mail was for, where a request for reports is looked up. `failure_reason` is
    a short word of ours for RFC 8460's failure-reason-code.
    """

    policy_type: str
    policy_domain: str
    policy_strings: tuple[str, ...] = ()
    mx_hosts: tuple[str, ...] = ()
    result_type: str = TlsResult.SUCCESS
    receiving_mx: str = ""
    receiving_ip: str = ""
    sending_ip: str = ""
    failure_reason: str = ""

    @property
    def failed(self) -> bool:
        """Whether it counts among the failures."""
        return self.result_type != TlsResult.SUCCESS
