"""`mta check` says good only of what it has looked at: keys in tokens, and files with the eyes of the relay's user."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.support.patience import patient
from tests.support.pki import authority
from tests.support.programs import needs
from tests.support.softhsm import PIN, SoftHsm, soft_hsm

CONFIG = """
server: {{hostname: mx.contoso.example, pkcs11: {{module: {module}, pin_file: pin}}}}
domains:
  contoso.example:
    deliver_to: ["127.0.0.1:25"]
    dkim:
      - {{selector: s1, key: "pkcs11:token={token};object={label}"}}
      - {{selector: s2, key: "pkcs11:token={token};object={label}"}}
connectors: {{internal: {{relay: true, inbound: {{networks: ["127.0.0.1/32"]}}}}}}
"""


def check(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "mta", "check"),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=patient(60),
        env={**os.environ, **environment},
    )


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    made = soft_hsm(tmp_path / "hsm")
    key = rsa.generate_private_key(65_537, 2048)
    made.store("dkim", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made


@pytest.mark.peer
@needs("softhsm2-util")
@pytest.mark.parametrize(
    ("pin", "token", "label", "words"),
    [
        (PIN, "mta-test", "dkim", ""),
        (PIN, "mta-test", "nobody", "no one key called nobody"),
        (PIN, "elsewhere", "dkim", "reaches no token elsewhere"),
        ("9999", "mta-test", "dkim", "the token mta-test refuses the PIN"),
    ],
)
def test_a_key_in_a_token_is_opened(tmp_path: Path, hsm: SoftHsm, pin: str, token: str, label: str, words: str) -> None:
    (tmp_path / "pin").write_text(f"{pin}\n")
    (tmp_path / "pin").chmod(0o600)
    (tmp_path / "connectors.yaml").write_text(CONFIG.format(module=hsm.module, token=token, label=label))
    done = check(tmp_path, **hsm.environment)
    assert done.returncode == (2 if words else 0), done.stderr
    assert ("good" in done.stdout) is not bool(words)
    if words:
        [line] = [line for line in done.stderr.splitlines() if "warning" not in line]  # each try counts for the token
        assert "connectors.yaml:7:" in line
        assert words in line


@pytest.mark.peer
@needs("softhsm2-util")
@pytest.mark.parametrize("label", ["office", "dkim", "nobody"])
def test_a_key_in_a_token_must_be_that_of_its_certificate(tmp_path: Path, hsm: SoftHsm, label: str) -> None:
    issued = authority().issue(dns_names=["contoso.example"])
    issued.write(tmp_path, "office")
    key = load_pem_private_key(issued.key_pem, None)
    hsm.store("office", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "pin").write_text(f"{PIN}\n")
    (tmp_path / "pin").chmod(0o600)
    start, rest = CONFIG.format(module=hsm.module, token="", label="").split("    dkim:")
    pair = f"{{chain: office.pem, key: 'pkcs11:token=mta-test;object={label}'}}"
    text = f"{start}    smime: {{certificate: {pair}}}\n{rest[rest.index('connectors:') :]}"
    (tmp_path / "connectors.yaml").write_text(text)
    done = check(tmp_path, **hsm.environment)
    words = {"office": "", "dkim": "does not belong to the certificate", "nobody": "no one key called nobody"}[label]
    assert done.returncode == (2 if words else 0), done.stderr
    assert words in done.stderr


@pytest.fixture
def house() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@needs(root=True)
def test_a_key_that_the_relays_user_cannot_read_is_told(house: Path) -> None:
    authority().issue(dns_names=["mx.contoso.example"]).write(house, "mx")
    (house / "mx.key").chmod(0o600)
    text = "server: {hostname: mx.contoso.example, user: nobody, certificate: {chain: mx.pem, key: mx.key}}\n"
    rest = 'connectors: {internal: {relay: true, inbound: {networks: ["127.0.0.1/32"]}}}\n'
    (house / "connectors.yaml").write_text(text + rest)
    done = check(house)
    assert done.returncode == 2, done.stdout
    assert "mx.key" in done.stderr
    assert "Permission denied" in done.stderr
    assert "for the user nobody, whom the relay runs as" in done.stderr
    os.chown(house / "mx.key", 65534, 65534)
    done = check(house)
    assert (done.returncode, "good" in done.stdout) == (0, True), done.stderr
