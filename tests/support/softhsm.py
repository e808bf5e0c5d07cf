"""A token of SoftHSM with fresh keys, as an HSM would hold them.

hsm = soft_hsm(tmp_path)                # once a process: the module reads its configuration when it is loaded
hsm.rsa("office"); hsm.uri("office")    # a key of 2048 bits, and its URI
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import find

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
PIN = "1234"
LABEL = "mta-test"


@dataclass(frozen=True)
class SoftHsm:
    """The token. `environment` is what a process needs to reach it."""

    folder: Path
    module: str

    @property
    def environment(self) -> dict[str, str]:
        return {"SOFTHSM2_CONF": str(self.folder / "softhsm2.conf")}

    def uri(self, label: str) -> str:
        return f"pkcs11:token={LABEL};object={label}"

    def store(self, label: str, key_pem: bytes) -> str:
        """Import a private key (PKCS #8, PEM); its URI."""
        file = self.folder / f"{label}.key"
        file.write_bytes(key_pem)
        number = f"{int.from_bytes(label.encode()) & 0xFFFF:04x}"
        words = ["--import", str(file), "--token", LABEL, "--label", label, "--id", number, "--pin", PIN]
        _run("softhsm2-util", *words, environment=self.environment)
        file.unlink()
        return self.uri(label)

    def make_curve(self, label: str) -> str:
        """A key of P-256 that may sign and agree, made in the token; its URI. The module is loaded in this process."""
        import pkcs11
        from pkcs11.util.ec import encode_named_curve_parameters

        session = pkcs11.lib(self.module).get_token(token_label=LABEL).open(user_pin=PIN, rw=True)
        curve = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        uses = pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY | pkcs11.MechanismFlag.DERIVE
        parameters = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
        parameters.generate_keypair(id=b"\x07", label=label, store=True, capabilities=uses)
        session.close()
        return self.uri(label)


def soft_hsm(folder: Path) -> SoftHsm:
    """A new token in `folder`."""
    (folder / "tokens").mkdir(parents=True)
    settings = f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    (folder / "softhsm2.conf").write_text(settings)
    hsm = SoftHsm(folder, next(path for path in MODULES if Path(path).exists()))
    words = ["--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", "5678"]
    _run("softhsm2-util", *words, environment=hsm.environment)
    return hsm


def _run(program: str, *words: str, environment: dict[str, str]) -> None:
    path = find(program)
    assert path is not None
    done = subprocess.run([path, *words], env={**os.environ, **environment}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
