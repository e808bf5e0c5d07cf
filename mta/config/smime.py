"""S/MIME in the configuration: profiles with their changes, and the files of our own certificates."""

from __future__ import annotations

import os

from mta.config.files import Files
from mta.config.problems import Path, Report
from mta.config.schema_smime import OwnPairKeys, OwnSmimeKeys, Pkcs11Keys, SmimeKeys
from mta.contract.server import Pkcs11
from mta.contract.smime import OwnSmime, Smime
from mta.contract.values import TOKEN, KeyPair
from mta.errors import SmimeError
from mta.rfc.smime.profile import PROFILES, with_words


def build_smime(keys: SmimeKeys, place: tuple[Report, Path]) -> Smime:
    """`outbound.smime`, written at `place`."""
    report, path = place
    profile = PROFILES[keys.profile]
    changes = keys.algorithms.model_dump(exclude_none=True)
    try:
        profile = with_words(profile, **changes)
    except SmimeError as error:
        report.problem((*path, "algorithms"), str(error))
    return Smime(
        sign=keys.sign,
        encrypt=keys.encrypt,
        without_certificate=keys.without_certificate,
        identity=keys.identity,
        profile=profile,
        format=keys.format,
        header_protection=keys.header_protection,
        already_protected=keys.already_protected,
    )


def build_own(keys: OwnSmimeKeys, files: Files, place: tuple[Report, Path]) -> OwnSmime:
    """`domains.X.smime`, written at `place`; pairs that do not fit and folders that are none are problems."""
    report, path = place
    return OwnSmime(
        certificate=_pair(keys.certificate, files, (*path, "certificate")) if keys.certificate else None,
        people=_folder(keys.people, files, report, (*path, "people")),
        former=_folder(keys.former, files, report, (*path, "former")),
        password=files.password(keys.password_file, (*path, "password_file")) if keys.password_file else "",
        decrypt=keys.decrypt,
    )


def build_pkcs11(keys: Pkcs11Keys, files: Files, place: tuple[Report, Path]) -> Pkcs11:
    """`server.pkcs11`, written at `place`."""
    report, path = place
    if not os.path.isfile(keys.module):
        hint = "an absolute path, like /usr/lib/softhsm/libsofthsm2.so"
        report.problem((*path, "module"), f"there is no file {keys.module}", hint)
    return Pkcs11(keys.module, files.password(keys.pin_file, (*path, "pin_file")), keys.processes)


def _pair(keys: OwnPairKeys, files: Files, path: Path) -> KeyPair:
    if keys.key.startswith(TOKEN):  # only the token can tell whether it fits: the worker says so when it starts
        return KeyPair(files.chain(keys.chain, (*path, "chain")), keys.key)
    return files.key_pair(keys.chain, keys.key, path)


def _folder(name: str | None, files: Files, report: Report, path: Path) -> str:
    if name is None:
        return ""
    folder = files.resolve(name)
    try:
        os.scandir(folder).close()
    except OSError as error:
        report.problem(path, f"{folder} cannot be read: {error.strerror}", "it is a folder of keys")
    return folder
