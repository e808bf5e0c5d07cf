"""Programs of Debian that scenario tests speak with: skipped with a reason on a desk, never on CI."""

from __future__ import annotations

import os
import shutil

import pytest

_PACKAGES = {
    "slapd": "slapd",
    "ldapsearch": "ldap-utils",
    "openssl": "openssl",
    "gpgsm": "gpgsm",
    "cmsutil": "libnss3-tools",
    "swaks": "swaks",
    "postfix": "postfix",
    "unbound": "unbound",
    "strace": "strace",
    "nmap": "nmap",
    "testssl": "testssl.sh",
    "node": "nodejs",
    "npm": "npm",
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "chromium": "chromium",
}
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def find(program: str) -> str | None:
    """Where the program is, the folders of system programs included."""
    return shutil.which(program, path=_PATH)


def needs(*programs: str, root: bool = False) -> pytest.MarkDecorator:
    """Skip where a program is missing (or where root is needed and we are not); with CI=true nothing is skipped.

    pytestmark = [pytest.mark.peer, needs("swaks", "openssl")]
    """
    missing = [program for program in programs if find(program) is None]
    packages = " ".join(_PACKAGES.get(program, program) for program in missing)
    reason = f"{', '.join(missing)} not installed: apt-get install {packages}" if missing else "needs root"
    wanting = bool(missing) or (root and os.geteuid() != 0)
    return pytest.mark.skipif(wanting and not os.environ.get("CI"), reason=reason)
