"""What `mta check` looks at beyond the files: keys in tokens, and everything with the eyes of the relay's user."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cryptography import x509

from mta.adapters.privileges import acting_for
from mta.adapters.token_pool.pool import KeyMissing
from mta.app.keys import token_key
from mta.app.nodes import database_doubts
from mta.app.root_key_checks import Finding, examine_root_keys
from mta.config.load import Examination, examine
from mta.config.problems import Path as Place
from mta.config.problems import Problem, dotted, in_order
from mta.contract.configuration import Configuration
from mta.contract.values import TOKEN
from mta.errors import MtaError, UsageError


def examine_here(path: str) -> Examination:
    """Everything that can be said of the file `path` on this machine, by whoever asks."""
    found = _examine(path)
    user = found.configuration.server.user if found.configuration else ""
    if not user:
        return _with_keys(found, path)
    if os.getuid() != 0:
        return _with_keys(_doubtful(found, path, user), path)
    try:
        with acting_for(Path(path).resolve().parent, user):
            return _as_the_user(found, _with_keys(_examine(path), path), user)
    except UsageError as error:  # there is no such user
        return _with(found, path, [(("server", "user"), str(error), "make it, or name another")])


def _examine(path: str) -> Examination:
    return examine(path, now=time.time(), cpus=os.cpu_count() or 1)


def _doubtful(found: Examination, path: str, user: str) -> Examination:
    """We are neither root nor the relay's user: what that user may read we cannot tell."""
    if pwd.getpwuid(os.getuid()).pw_name == user:
        return found
    text = f"whether {user} may read the files was not looked at: only root, or {user}, can"
    warning = Problem(path, *found.marks.at(("server", "user")), "server.user", text)
    return replace(found, warnings=tuple(in_order((*found.warnings, warning))))


def _as_the_user(ours: Examination, theirs: Examination, user: str) -> Examination:
    """What the user finds, and what is a problem for this user alone said to be that."""
    told = {(problem.path, problem.message) for problem in ours.wrong}

    def marked(problem: Problem) -> Problem:
        own = f"for the user {user}, whom the relay runs as"
        return problem if (problem.path, problem.message) in told else replace(problem, hint=own)

    return replace(
        theirs,
        problems=tuple(map(marked, theirs.problems)),
        ailments=tuple(map(marked, theirs.ailments)),
        marks=ours.marks,
        written=ours.written,
    )


def _with_keys(found: Examination, path: str) -> Examination:
    """The keys in tokens are opened, as the relay does it before it signs, and the root keys looked at."""
    known = found.configuration
    if known is None:
        return found
    failed: set[str] = set()  # one fault a token is enough: each try with a wrong PIN brings it nearer to being locked
    faults = [] if known.server.pkcs11 is None else list(_token_faults(known, failed))
    roots = examine_root_keys(known, failed)
    doubts: list[Finding] = [(("server", "queue", "store"), *doubt) for doubt in database_doubts(known)]
    return _warned(_with(found, path, [*faults, *roots.problems]), path, [*roots.warnings, *doubts])


def _with(found: Examination, path: str, faults: list[Finding]) -> Examination:
    if not faults:
        return found
    return replace(found, configuration=None, problems=tuple(in_order((*found.problems, *_told(found, path, faults)))))


def _warned(found: Examination, path: str, doubts: list[Finding]) -> Examination:
    return replace(found, warnings=tuple(in_order((*found.warnings, *_told(found, path, doubts)))))


def _told(found: Examination, path: str, findings: list[Finding]) -> list[Problem]:
    return [Problem(path, *found.marks.at(place), dotted(place), text, hint) for place, text, hint in findings]


def _token_faults(known: Configuration, failed: set[str]) -> Iterator[Finding]:
    """One fault a token; those that did not even open are added to `failed`."""
    opened, told = token_key(known), set[str]()
    for place, uri, chain in _token_keys(known):
        token = uri.partition("token=")[2].partition(";")[0]
        if token in told:
            continue
        try:
            public = opened(uri).public_key()
        except MtaError as error:
            told.add(token)
            if not isinstance(error, KeyMissing):
                failed.add(token)
            yield place, str(error), "tokens are reached by server.pkcs11: module, pin_file"
            continue
        if chain and public != x509.load_pem_x509_certificates(Path(chain).read_bytes())[0].public_key():
            yield (
                place,
                f"the key does not belong to the certificate of {chain}",
                "chain and key must be of one request",
            )


def _token_keys(known: Configuration) -> Iterator[tuple[Place, str, str]]:
    """Where each is named, its URI, and the file of the certificate that it must be the key of, if there is one."""
    for name, domain in known.domains.items():
        for number, key in enumerate(domain.dkim):
            if key.key.startswith(TOKEN):
                yield ("domains", name, "dkim", number, "key"), key.key, ""
        pair = domain.smime.certificate if domain.smime else None
        if pair and pair.key.startswith(TOKEN):
            yield ("domains", name, "smime", "certificate", "key"), pair.key, pair.chain
    arc = known.server.arc
    if arc and arc.key.key.startswith(TOKEN):
        yield ("server", "arc", "key"), arc.key.key, ""
