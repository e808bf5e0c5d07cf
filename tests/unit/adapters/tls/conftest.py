from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop

from mta.adapters.tls.context import client_context, server_context
from tests.support.pki import Authority, Issued
from tests.support.tls import run as run_story

HOST = "mx.contoso.example"
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on each kind of event loop."""
    return partial(run_story, request.param)


class World:
    """A CA, our server's certificate, and contexts for both sides: ours and those of Python's own `ssl`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = Authority("Contoso Root CA")
        self.below = self.ca.intermediate("Contoso Mail CA")
        self.host = self.below.issue(dns_names=[HOST])
        self.ca_path = self.ca.write(folder / "ca.pem")
        self.pair = self.host.write(folder, HOST)
        self.asking = server_context(*self.pair, ask_client=True)
        self.plain = server_context(*self.pair, ask_client=False)
        self.client = client_context()

    def pem(self, issued: Issued, name: str = "client") -> tuple[Path, Path]:
        return issued.write(self.folder, name)

    def ssl_client(self, issued: Issued | None = None, **settings: Any) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_path)
        if issued:
            context.load_cert_chain(*self.pem(issued))
        for name, value in settings.items():
            setattr(context, name, value)
        return context

    def ssl_server(self, **settings: Any) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.pair)
        for name, value in settings.items():
            setattr(context, name, value)
        return context


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("pki"))
