"""Keys of epochs, one file each: they cover the vault's shares, so that a backup opens nothing when its epoch is gone.

A covered share is the number of its epoch (4 octets), a nonce (12) and AES-256-GCM of the share. The newest file
covers. Left out of the backup of shares.db, or kept there for days only, these files decide how long a backup can
bring a destroyed share back.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mta.adapters.private_files import overwrite_and_remove, read_private, write_private
from mta.errors import MtaError, UsageError

_KEY, _NONCE, _NUMBER = 32, 12, 4


class Epochs:
    """ports.vault.Shares by the files `NUMBER.key` of a folder; the first is made when there is none."""

    def __init__(self, folder: Path, random: Callable[[int], bytes]) -> None:
        self._folder, self._random = folder, random
        self._ciphers: dict[int, AESGCM] = {}

    def cover(self, share: bytes) -> bytes:
        """The share under the running epoch."""
        number = self.current()
        nonce, head = self._random(_NONCE), number.to_bytes(_NUMBER, "big")
        return head + nonce + self._cipher(number).encrypt(nonce, share, head)

    def uncover(self, covered: bytes) -> bytes | None:
        """The share; None if its epoch is gone. Raises MtaError for what was changed."""
        head, nonce = covered[:_NUMBER], covered[_NUMBER : _NUMBER + _NONCE]
        number = int.from_bytes(head, "big")
        if number not in self._ciphers and not self._path(number).exists():
            return None
        try:
            return self._cipher(number).decrypt(nonce, covered[_NUMBER + _NONCE :], head)
        except InvalidTag:
            raise MtaError("a share of the vault was changed: it does not open under the key of its epoch") from None

    def current(self) -> int:
        """The number of the running epoch; the first one is begun here."""
        numbers = self.numbers()
        if not numbers:
            try:
                return self.begin()
            except UsageError:  # another process has begun it at the same moment
                numbers = self.numbers()
        return numbers[-1]

    def numbers(self) -> list[int]:
        """All epochs whose key is there, the oldest first."""
        return sorted(int(path.stem) for path in self._folder.glob("*.key") if path.stem.isdigit())

    def begin(self) -> int:
        """Make the key of the next epoch, which covers from now on; its number."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = (self.numbers() or [0])[-1] + 1
        write_private(self._path(number), self._random(_KEY), replace=False)
        return number

    def renew(self, covered: bytes) -> bytes | None:
        """The share under the running epoch; None if it is already there, or its epoch is gone."""
        if int.from_bytes(covered[:_NUMBER], "big") == self.current():
            return None
        share = self.uncover(covered)
        return self.cover(share) if share is not None else None

    def end(self, number: int) -> None:
        """Destroy the key of an epoch: what it covers, here or in a backup, opens no more."""
        self._ciphers.pop(number, None)
        overwrite_and_remove(self._path(number))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.key"

    def _cipher(self, number: int) -> AESGCM:
        if number not in self._ciphers:
            try:
                self._ciphers[number] = AESGCM(read_private(self._path(number)))
            except ValueError as error:
                raise MtaError(f"the key of epoch {number} cannot be read: {error}") from error
        return self._ciphers[number]
