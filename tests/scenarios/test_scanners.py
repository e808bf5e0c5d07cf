"""What others' scanners find at our listener: nothing below TLS 1.2, and no suite that is weak."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.contoso import Company, contoso
from tests.support.patience import patient
from tests.support.programs import find, needs

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    with contoso(tmp_path_factory.mktemp("scanned"), listen={"implicit": "tls: implicit"}) as running:
        yield running


@needs("nmap")
def test_nmap_grades_every_suite_a(company: Company) -> None:
    words = ["nmap", "-n", "-Pn", "-p", str(company.ports["implicit"]), "--script", "+ssl-enum-ciphers", "127.0.0.1"]
    text = subprocess.run(words, capture_output=True, text=True, timeout=patient(60), check=True).stdout
    assert re.findall(r"\|   (\S+): *$", text, re.MULTILINE) == ["TLSv1.2", "TLSv1.3"]
    grades = re.findall(r"TLS_\w+ .* - (\S+)", text)
    assert len(grades) > 5
    assert set(grades) == {"A"}
    assert "warnings" not in text
    assert "least strength: A" in text


@needs("testssl")
def test_testssl_finds_old_protocols_and_weak_suites_missing(company: Company, tmp_path: Path) -> None:
    """Its checks of protocols (-p) and of kinds of suites (-s) over STARTTLS; they take long enough."""
    found = tmp_path / "found.json"
    words = ["testssl", "--quiet", "--color", "0", "--warnings", "off", "-t", "smtp", "-p", "-s"]
    subprocess.run(
        [*words, "--jsonfile", str(found), f"127.0.0.1:{company.port}"],
        capture_output=True,
        timeout=patient(120),
        check=False,
    )
    findings = {each["id"]: each for each in json.loads(found.read_text())}
    for name in ("SSLv2", "SSLv3", "TLS1", "TLS1_1", "cipherlist_NULL", "cipherlist_aNULL", "cipherlist_EXPORT"):
        assert findings[name]["finding"] == "not offered", name
    for name in ("cipherlist_LOW", "cipherlist_3DES_IDEA"):
        assert findings[name]["finding"] == "not offered", name
    assert findings["TLS1_2"]["finding"] == "offered"
    assert findings["TLS1_3"]["finding"].startswith("offered")
    grave = {name for name, each in findings.items() if each["severity"] in ("MEDIUM", "HIGH", "CRITICAL")}
    assert grave == set()


def finger(company: Company, *words: str) -> str:
    """What Postfix's client says of the handshake."""
    program = find("posttls-finger")
    assert program is not None
    asked = [program, "-c", "-l", "encrypt", "-L", "summary", *words, f"[127.0.0.1]:{company.port}"]
    return subprocess.run(asked, capture_output=True, text=True, timeout=patient(60), check=False).stdout


@needs("posttls-finger")
def test_postfix_gets_what_is_good_and_nothing_older(company: Company) -> None:
    good = finger(company)
    assert "TLS connection established" in good
    assert "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384" in good
    assert "TLSv1.2 with cipher ECDHE" in finger(company, "-p", ">=TLSv1.2, <=TLSv1.2")
    for old in (">=TLSv1, <=TLSv1", ">=TLSv1.1, <=TLSv1.1"):
        told = finger(company, "-p", old)
        assert "TLS connection established" not in told
        assert "SSL_connect error" in told
