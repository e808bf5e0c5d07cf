"""What commands need of the machine: the rights of whom the queue belongs to, and answers of a live worker."""

from mta.adapters.control import ask as ask_worker
from mta.adapters.control import parts as worker_parts
from mta.adapters.privileges import acting_for

__all__ = ["acting_for", "ask_worker", "worker_parts"]
