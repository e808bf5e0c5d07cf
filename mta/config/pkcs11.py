"""`server.pkcs11`: the tokens (HSM, smart card) that hold keys of ours."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from mta.config.files import Files
from mta.config.problems import Path, Report
from mta.config.words import FilePath, Keys, Text, optional
from mta.contract.domains import Domain
from mta.contract.server import Pkcs11, Server
from mta.contract.values import TOKEN

TokenProcesses = Annotated[int, Field(strict=True, ge=1, le=64)]


class Pkcs11Keys(Keys):
    """Tokens that hold private keys."""

    module: Text = Field(description="The shared library of the token's maker, an absolute path.")
    pin_file: FilePath = Field(description="File whose first line is the PIN.")
    processes: TokenProcesses = optional("Processes that open with root keys side by side, one session each.", 2)


def build_pkcs11(keys: Pkcs11Keys, files: Files, place: tuple[Report, Path]) -> Pkcs11:
    """`server.pkcs11`, written at `place`."""
    report, path = place
    if not os.path.isfile(keys.module):
        hint = "an absolute path, like /usr/lib/softhsm/libsofthsm2.so"
        report.problem((*path, "module"), f"there is no file {keys.module}", hint)
    return Pkcs11(keys.module, files.password(keys.pin_file, (*path, "pin_file")), keys.processes)


def check_tokens(domains: Mapping[str, Domain], written: Mapping[str, str], server: Server, report: Report) -> None:
    """Report keys in tokens that nobody can reach."""
    if server.pkcs11 is not None or not report.intact(("server", "pkcs11")):
        return
    for name, domain in domains.items():
        path: Path = ("domains", written[name])
        pair = domain.smime.certificate if domain.smime else None
        places = [(*path, "smime", "certificate", "key")] if pair and pair.key.startswith(TOKEN) else []
        places += [(*path, "dkim", n, "key") for n, key in enumerate(domain.dkim) if key.key.startswith(TOKEN)]
        for place in places:
            report.problem(place, "a key in a token, and nothing reaches tokens", "write server.pkcs11")
