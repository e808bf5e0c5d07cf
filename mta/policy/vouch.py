"""Whose address an issuer may vouch for: pure, for key server and pages alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mta.contract.protection import Issuer
from mta.contract.readers import reader_name
from mta.errors import JoseError
from mta.rfc.smtp.address import AddressError


def address_in(claims: Mapping[str, Any]) -> str:
    """The address of a token. Raises JoseError."""
    address = claims.get("email")
    try:
        return reader_name(address) if isinstance(address, str) else ""
    except AddressError:
        raise JoseError("a token whose address is none") from None


def vouched(issuer: Issuer, claims: Mapping[str, Any]) -> str:
    """An issuer is believed for addresses of its own domains, which it calls verified or says nothing of.

    Everywhere else the claim may be whatever its user has typed in. Raises JoseError.
    """
    address = address_in(claims)
    if address.rpartition("@")[2] not in issuer.domains or address.startswith("@"):
        raise JoseError(f"{issuer.name} does not vouch for {address.rpartition('@')[2] or 'anybody'}")
    if claims.get("email_verified", True) is not True:
        raise JoseError(f"{issuer.name} has not verified the address")
    return address
