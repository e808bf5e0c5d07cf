"""The composition root: the only place that builds adapters and plugs them into the house.

Each room builds one thing: `serve` the relay, `worker` one of its processes, `listeners` its ports, `folders` the
queue's files, `outside` clocks, names and certificates, `smime` and `demo` what those commands work with.
"""

from mta.adapters.control import ask as ask_worker
from mta.adapters.control import parts as worker_parts
from mta.adapters.privileges import acting_for
from mta.app.demo import make_demo_pki, open_mailbox
from mta.app.folders import control_paths, in_house, open_offline, queue_folder, shard_folders
from mta.app.in_force import Need, standing
from mta.app.outside import SystemClock, chain_verifier, load, load_text, look_ups, resolver
from mta.app.serve import serve
from mta.app.smime import anchored_judge, read_certificates, read_lists, read_own
from mta.app.worker import run_worker

__all__ = [
    "Need",
    "SystemClock",
    "acting_for",
    "anchored_judge",
    "ask_worker",
    "chain_verifier",
    "control_paths",
    "in_house",
    "load",
    "load_text",
    "look_ups",
    "make_demo_pki",
    "open_mailbox",
    "open_offline",
    "queue_folder",
    "read_certificates",
    "read_lists",
    "read_own",
    "resolver",
    "run_worker",
    "serve",
    "shard_folders",
    "standing",
    "worker_parts",
]
