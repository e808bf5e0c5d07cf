"""TLS between a raw transport and an application protocol, on any event loop.

    raw transport  ->  TlsLayer (its protocol)  ->  application protocol
    raw transport  <-  TlsLayer                 <-  TlsTransport (the application's transport)

Both start functions take the transport over at once, before they are awaited: nothing that arrives from then on
misses the layer, even when the call is made in `connection_made` and awaited in a task. They return once the
handshake is done. The application protocol is not told `connection_made` again: the caller puts the returned
transport in the place of the old one before it next awaits, and only after that does the first application data
arrive. `connection_lost` is told once, however it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from OpenSSL import SSL

from mta.adapters.tls.layer import TlsLayer
from mta.adapters.tls.transport import TlsTransport
from mta.model.tls import TlsFacts


def start_server_tls(
    transport: asyncio.Transport, protocol: asyncio.BaseProtocol, context: SSL.Context, *, timeout: float
) -> Coroutine[None, None, TlsTransport]:
    """Be the TLS server on `transport` and put the layer under `protocol`; `timeout` in seconds. Await the result.

    The caller has made sure that nothing received before is still buffered above (RFC 3207 §4.2). Raises TlsFailed,
    and the connection is then closed.
    """
    connection = SSL.Connection(context, None)
    connection.set_accept_state()
    return _start(TlsLayer(transport, protocol, connection), timeout)


def start_client_tls(
    transport: asyncio.Transport, protocol: asyncio.BaseProtocol, context: SSL.Context, *, sni: str, timeout: float
) -> Coroutine[None, None, TlsTransport]:
    """Be the TLS client on `transport`; `sni` is the name asked for, in A-labels, or empty. As start_server_tls."""
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    connection.request_ocsp()  # RFC 6066 §8: whether the certificate is revoked, in the words of its issuer
    if sni:
        connection.set_tlsext_host_name(sni.encode("ascii"))
    return _start(TlsLayer(transport, protocol, connection, sni), timeout)


def _start(layer: TlsLayer, timeout: float) -> Coroutine[None, None, TlsTransport]:
    loop = asyncio.get_running_loop()
    timer = loop.call_later(timeout, layer.fail, "timed out")
    return _finish(layer, layer.handshake(loop.create_future()), timer)


async def _finish(layer: TlsLayer, result: asyncio.Future[TlsFacts], timer: asyncio.TimerHandle) -> TlsTransport:
    try:
        facts = await result
    except asyncio.CancelledError:
        layer.abort()
        raise
    finally:
        timer.cancel()
    asyncio.get_running_loop().call_soon(layer.open)
    return TlsTransport(layer, facts)
