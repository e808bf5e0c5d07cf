"""The transform step: what becomes of a message between the queue and the next hop, one thing after the other.

Whatever changes the content comes before the signatures, which are over what leaves; nothing comes after them.
"""

from __future__ import annotations

from dataclasses import replace

from mta.model.attempt import Failure
from mta.pipeline.deliver import Job
from mta.pipeline.sign import sign
from mta.pipeline.site import Site
from mta.pipeline.survive import broken_on_leaving


async def transform(site: Site, job: Job) -> Job | Failure:
    """The job with the message as it leaves, or why it must wait."""
    leaving = await sign(site, job)
    if isinstance(leaving, Failure):
        return leaving
    broken = await broken_on_leaving(job.message, leaving.message)
    return replace(leaving, broken=tuple(map(str, broken))) if broken else leaving
