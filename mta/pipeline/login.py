"""Saying who we are to a next hop that wants to know: by password, or by a token that an issuer gives."""

from __future__ import annotations

from mta.contract.outbound import Auth
from mta.errors import TokenNotGiven
from mta.model.attempt import Failure, Scope
from mta.model.reply import Reply
from mta.model.word import Word
from mta.pipeline.site import Site
from mta.ports import SmtpConnection
from mta.rfc.smtp.sasl import LOGIN, OAUTHBEARER, PLAIN, XOAUTH2, choose

_NO_PASSWORDS = "5.7.139"  # Exchange Online: basic authentication is disabled


async def log_in(site: Site, auth: Auth, connection: SmtpConnection) -> Failure | None:
    """None: the host knows us. Whatever is wrong is ours or the issuer's to mend: the mail waits for that."""
    offered = connection.capabilities.extensions.get("AUTH", "")
    mechanisms = (PLAIN, LOGIN) if auth.oauth is None else _token_mechanisms(auth)
    mechanism = choose(offered, mechanisms)
    if not mechanism:
        return _not_offered(connection.host, offered, mechanisms, auth)
    if auth.oauth is None:
        reply = await connection.authenticate(auth.user, auth.password)
        return None if reply.code == 235 else _refused(connection.host, "password", reply)
    return await _by_token(site, auth, connection, mechanism)


def _token_mechanisms(auth: Auth) -> tuple[str, ...]:
    return (XOAUTH2, OAUTHBEARER) if auth.mechanism == "auto" else (auth.mechanism.upper(),)


async def _by_token(site: Site, auth: Auth, connection: SmtpConnection, mechanism: str) -> Failure | None:
    """A token that is not taken is exchanged once: it may have been withdrawn before its end."""
    assert auth.oauth is not None
    reply, generation = Reply(450), site.contract.generation
    for _ in range(2):
        try:
            token = await site.access_tokens.token(auth.oauth)
        except TokenNotGiven as error:
            reply = Reply(450, "4.7.0", ("Authentication not possible now",))
            story = f"for {auth.user} at {connection.host}: {error}"
            return Failure(Scope.HOST, Word.AUTH_NO_TOKEN, story, reply, permanent=False, local=True)
        if generation != site.contract.generation:
            reply = Reply(451, "4.3.0", ("The configuration has changed",))
            story = "while a token was fetched"
            return Failure(Scope.SESSION, Word.CONTRACT_CHANGED, story, reply, permanent=False, local=True)
        reply = await connection.authenticate_bearer(auth.user, token, mechanism)
        if reply.code == 235:
            return None
        site.access_tokens.refused(auth.oauth, token)
        if not connection.usable:
            break
    return _refused(connection.host, "token", reply)


def _refused(host: str, what: str, reply: Reply) -> Failure:
    story = f"{host} refused our {what}: {reply}"
    if what == "password" and reply.enhanced == _NO_PASSWORDS:
        story += " (it takes no passwords any more: write outbound.auth.oauth)"
    return Failure(Scope.HOST, Word.AUTH_REFUSED, story, reply, permanent=False)


def _not_offered(host: str, offered: str, mechanisms: tuple[str, ...], auth: Auth) -> Failure:
    """In our words: the host has said nothing about it."""
    wanted, offer = " or ".join(mechanisms), f"only AUTH {offered}" if offered else "no AUTH at all"
    text = f"{host} offers {offer}, and we could say {wanted}"
    if auth.oauth is None and choose(offered, (XOAUTH2, OAUTHBEARER)):
        text += ": it takes no passwords, write outbound.auth.oauth"
    reply = Reply(450, "4.7.0", ("the host offers no way of authentication that we could use",))
    return Failure(Scope.HOST, Word.AUTH_NOT_OFFERED, text, reply, permanent=False, local=True)
