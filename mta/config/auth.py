"""`outbound.auth`: how we prove to a smart host who we are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mta.config.problems import Path, Report
from mta.config.words import FilePath, Keys, Text, TokenUrl, optional
from mta.config.workshop import Workshop
from mta.contract.outbound import Auth, Outbound
from mta.model.tls import TlsLevel
from mta.ports.access import AccessGrant


class OAuthKeys(Keys):
    """How an access token is had: by the client's own credentials, or with a refresh token."""

    token_url: TokenUrl = Field(description="The issuer's token endpoint; https, or http on this machine.")
    client_id: Text = Field(description="Our name with the issuer.")
    client_secret_file: FilePath | None = optional("File whose first line is our secret with the issuer.")
    scope: Text | None = optional("What the token is for, in the issuer's words.")
    refresh_token_file: FilePath | None = optional("File whose first line is a refresh token; that is the grant then.")
    mechanism: Literal["auto", "xoauth2", "oauthbearer"] = optional(
        "How the host is told; `auto`: as it offers.", "auto"
    )
    ca: FilePath | None = optional("PEM file of CAs for the token endpoint, or `system` (the default).")


class AuthKeys(Keys):
    """SMTP AUTH at a smart host: with a password, or with a token of OAuth 2.0."""

    user: Text = Field(description="The user name.")
    password_file: FilePath | None = optional("File whose first line is the password.")
    oauth: OAuthKeys | None = optional("In place of a password.")


def build_auth(keys: AuthKeys, shop: Workshop, path: Path) -> Auth:
    """`outbound.auth`, written at `path`; files that cannot be read are problems."""

    def secret(file: str | None, *place: str) -> str:
        return shop.files.password(file, (*path, *place)) if file else ""

    oauth = keys.oauth
    if oauth is None:
        return Auth(keys.user, secret(keys.password_file, "password_file"))
    grant = AccessGrant(
        url=oauth.token_url,
        client_id=oauth.client_id,
        client_secret=secret(oauth.client_secret_file, "oauth", "client_secret_file"),
        scope=oauth.scope or "",
        refresh_token=secret(oauth.refresh_token_file, "oauth", "refresh_token_file"),
        ca=shop.anchors(oauth.ca, (*path, "oauth", "ca")),
    )
    return Auth(keys.user, oauth=grant, mechanism=oauth.mechanism)


def check_auth(outbound: Outbound, keys: AuthKeys | None, report: Report, path: Path) -> None:
    """Report secrets that would go to nobody known, and proofs that are none or two."""
    if outbound.auth is not None:
        _check_host(outbound, report, path)
    if keys is not None:
        _check_secrets(keys, report, path)


def _check_host(outbound: Outbound, report: Report, path: Path) -> None:
    if not outbound.hosts:
        message = "a password or token is for fixed hosts, not for whatever MX records name"
        report.missing(path, message, "write route: {hosts: [...]}")
    if outbound.tls.level < TlsLevel.VERIFIED:
        message = f"at level {outbound.tls.level.word} the password or token could go to anyone"
        report.missing(path, message, "write tls: {level: verified}")


def _check_secrets(keys: AuthKeys, report: Report, path: Path) -> None:
    """Exactly one way of proving who we are."""
    if keys.password_file and keys.oauth:
        report.problem((*path, "oauth"), "a password and a token stand beside each other", "remove one of the two")
    elif not keys.password_file and not keys.oauth:
        report.missing(path, "nothing here proves who we are", "write password_file, or oauth")
    oauth = keys.oauth
    if oauth and not oauth.client_secret_file and not oauth.refresh_token_file:
        hint = "write client_secret_file, refresh_token_file, or both"
        report.missing((*path, "oauth"), "nothing here proves to the issuer who we are", hint)
