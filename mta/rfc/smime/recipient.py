"""Recipients of an envelope: how a content key is given to the owner of a certificate.

By RSA (`transport.py`), elliptic curves (`agreement.py`) or ML-KEM (`kem.py`). All that names the recipient is written
once; per message there is the key's operation and a join.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, mlkem, rsa, x25519

from mta.errors import SmimeError
from mta.rfc.smime import agreement, kem, transport
from mta.rfc.smime.party import party
from mta.rfc.smime.profile import Profile
from mta.rfc.smime.transport import RecipientKey


def prepare_recipient(certificate: bytes, profile: Profile) -> RecipientKey:
    """The recipient of this certificate. Raises SmimeError, with the reason, for one that cannot be written to."""
    who = party(certificate)
    if who.key is None:
        raise SmimeError("the certificate's key is of a kind that is not known here")
    who.check_curve()
    if isinstance(who.key, rsa.RSAPublicKey):
        use, prepare = "key_encipherment", transport.prepared
    elif isinstance(who.key, ec.EllipticCurvePublicKey | x25519.X25519PublicKey):
        use, prepare = "key_agreement", agreement.prepared
    elif isinstance(who.key, mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey):
        use, prepare = "key_encipherment", kem.prepared
    else:
        raise SmimeError("nothing can be encrypted to a key of this kind")
    if not who.may(use):
        raise SmimeError(f"the certificate is not for encryption (its key usage lacks {use.replace('_', ' ')})")
    return prepare(who, profile)
