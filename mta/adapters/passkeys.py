"""Passkeys (ports.portal.Passkeys) by the library `webauthn`, which is imported when the first one is asked for."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from mta.errors import NotOpened
from mta.ports.portal import Passkey


class WebAuthn:
    """For one portal: its URL is the origin, its host the relying party (WebAuthn §5.1.2)."""

    def __init__(self, url: str, name: str) -> None:
        self._origin, self._name = url, name
        self._host = urlsplit(url).hostname or ""

    def ask_new(self, reader: str, credentials: tuple[bytes, ...], challenge: bytes) -> str:
        """What a browser needs to make a passkey, as JSON; `credentials` are those the reader has."""
        from webauthn import generate_registration_options, options_to_json
        from webauthn.helpers.structs import (
            AuthenticatorSelectionCriteria,
            PublicKeyCredentialDescriptor,
            UserVerificationRequirement,
        )

        options = generate_registration_options(
            rp_id=self._host,
            rp_name=self._name,
            user_name=reader,
            challenge=challenge,
            authenticator_selection=AuthenticatorSelectionCriteria(
                user_verification=UserVerificationRequirement.REQUIRED
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(id=credential) for credential in credentials],
        )
        return options_to_json(options)

    def new(self, answer: bytes, challenge: bytes) -> Passkey:
        """The passkey that a browser has made. Raises NotOpened."""
        from webauthn import verify_registration_response
        from webauthn.helpers.exceptions import WebAuthnException

        try:
            made = verify_registration_response(
                credential=_object(answer),
                expected_challenge=challenge,
                expected_rp_id=self._host,
                expected_origin=self._origin,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, KeyError, TypeError) as error:
            raise NotOpened("not-proven", f"no passkey: {error}") from None
        return Passkey(made.credential_id, made.credential_public_key, made.sign_count)

    def ask(self, credentials: tuple[bytes, ...], challenge: bytes) -> str:
        """What a browser needs to use one of these passkeys, as JSON."""
        from webauthn import generate_authentication_options, options_to_json
        from webauthn.helpers.structs import PublicKeyCredentialDescriptor, UserVerificationRequirement

        options = generate_authentication_options(
            rp_id=self._host,
            challenge=challenge,
            allow_credentials=[PublicKeyCredentialDescriptor(id=credential) for credential in credentials],
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json(options)

    def named(self, answer: bytes) -> bytes:
        """Which passkey an answer says it is of; nothing is believed yet. Raises NotOpened."""
        from webauthn.helpers import base64url_to_bytes

        try:
            return base64url_to_bytes(str(_object(answer)["rawId"]))
        except (ValueError, KeyError) as error:
            raise NotOpened("not-proven", f"no passkey: {error}") from None

    def used(self, answer: bytes, challenge: bytes, key: Passkey) -> int:
        """How often this passkey was used, now that it has signed. Raises NotOpened unless it has, or was copied."""
        from webauthn import verify_authentication_response
        from webauthn.helpers.exceptions import WebAuthnException

        try:
            proof = verify_authentication_response(
                credential=_object(answer),
                expected_challenge=challenge,
                expected_rp_id=self._host,
                expected_origin=self._origin,
                credential_public_key=key.public,
                credential_current_sign_count=key.count,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, KeyError, TypeError) as error:
            raise NotOpened("not-proven", f"the passkey does not sign: {error}") from None
        return proof.new_sign_count


def _object(answer: bytes) -> dict[str, object]:
    document = json.loads(answer)
    return document if isinstance(document, dict) else {}
