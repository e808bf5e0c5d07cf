"""Whose certificate signs for an author, and which certificate of a recipient can be written to.

The same answers serve live mail (protect.py) and `mta explain`.
"""

from __future__ import annotations

from dataclasses import replace

from mta.contract.smime import Smime
from mta.errors import MtaError, SmimeError
from mta.model.author import FromField
from mta.model.directory import DirectoryAnswer, DirectoryStatus
from mta.pipeline.site import Site
from mta.policy.sign import from_our_systems
from mta.policy.transform import Author
from mta.ports import OwnCertificate
from mta.rfc.smime.profile import Profile
from mta.rfc.smime.sign import SigningIdentity
from mta.rfc.smime.writer import Recipients, ready_signer


def signing_identity(site: Site, smime: Smime, from_: FromField, inbound: str) -> tuple[OwnCertificate | None, Author]:
    """The certificate that signs mail that came by the connector `inbound`, and whether one can. Blocks."""
    if smime.sign == "never":
        return None, Author(ours=False)
    contract = site.contract
    domain = "" if from_.ambiguous or len(from_.authors) != 1 else from_.authors[0].ascii_domain
    own = contract.index.our_domain(domain) if domain else None
    if own is None or own.smime is None:
        return None, Author(False, trouble=f"its author is of no domain of ours with certificates ({domain})")
    if not from_our_systems(contract.configuration, inbound):
        return None, Author(False, trouble=f"it came by connector {inbound}, not from our systems")
    address, now = from_.authors[0].key, site.clock.now()
    try:
        certificate = site.key_ring.for_signing(own.name, address, now, whose=smime.identity)
        if certificate is not None:
            ready_signer(known_identity(certificate), smime.profile)
    except MtaError as error:
        return None, Author(True, False, f"the certificate of {address} cannot sign: {error}")
    if certificate is None:
        return None, Author(True, False, f"{address} has no certificate here ({smime.identity})")
    return certificate, Author(True, True)


def known_identity(own: OwnCertificate) -> SigningIdentity:
    """The certificate as `rfc/smime/sign.py` wants it."""
    return SigningIdentity(own.certificate, own.chain, own.key)


def fitting(profile: Profile, answer: DirectoryAnswer) -> DirectoryAnswer:
    """What the directory said; a certificate that the profile cannot write to is none."""
    if answer.chosen is None:
        return answer
    try:
        Recipients(profile, (answer.chosen,)).prepared()
    except SmimeError as error:
        detail = f"the one from {answer.chosen.source} cannot be used: {error}"
        others = (*answer.others, (answer.chosen, str(error)))
        return replace(answer, status=DirectoryStatus.NONE, chosen=None, rung=None, others=others, detail=detail)
    return answer
