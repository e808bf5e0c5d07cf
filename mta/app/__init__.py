"""The composition root: the only place that builds adapters and plugs them into the house.

Each room builds one thing: `serve` the relay, `worker` one of its processes, `listeners` its ports, `folders` the
queue's files, `outside` clocks, names and certificates, `smime` and `demo` what those commands work with. Whoever needs
a room imports that alone: a worker never loads what reads connectors.yaml.
"""
