"""Downloads bars from an address, within bounds: whom it may ask, for how long, and how much is taken.

An address may come from a form. A served ingest therefore reads none in private networks or on this machine, where an
address is often all that is asked for (`stonk_pipeline.roots`). The name is resolved once, each address that it has is
checked, and the connection goes to one that was checked. This happens where connections are opened, so that it holds
for redirects too, and for a name that leads elsewhere a moment later.
"""

import ipaddress
import socket
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpcore
import httpx

from stonk_pipeline import roots
from stonk_pipeline.errors import DataError
from stonk_pipeline.settings_operations import IngestConfig

TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
"""HTTP status codes after which another attempt may succeed."""
MOST_PAUSE = 60.0
MOST_REDIRECTS = 5
GZIP_OR_ZLIB = 47
"""zlib's `wbits` that takes either header."""


def download(address: str, config: IngestConfig) -> bytes:
    """Reads an address.

    Raises:
        DataError: names the address (without its query) and the fault; the last one if it is a transient one.
    """
    for attempt in range(1, config.attempts + 1):
        try:
            return _attempt(address, config)
        except httpx.HTTPError as error:
            transient = isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)
            again = transient or (isinstance(error, httpx.HTTPStatusError) and error.response.status_code in TRANSIENT)
            if not again or attempt == config.attempts:
                tries = f" ({attempt} attempts)" if attempt > 1 else ""
                raise DataError(f"{public(address)}: {_fault(error)}{tries}") from error
            time.sleep(min(config.pause_seconds * 2 ** (attempt - 1), MOST_PAUSE))
    raise AssertionError("no attempt was made")


def _attempt(address: str, config: IngestConfig) -> bytes:
    limit = int(config.max_megabytes * 1e6)
    network = _Network(config.timeout_seconds)
    transport = httpx.HTTPTransport()
    transport._pool._network_backend = network  # httpx passes none on; a test shows that it is the one in use
    content = bytearray()
    with (
        # What the environment names as a proxy would resolve the name anew, where nobody checks it.
        httpx.Client(transport=transport, max_redirects=MOST_REDIRECTS, trust_env=roots.private_addresses()) as client,
        client.stream(
            "GET",
            address,
            timeout=config.timeout_seconds,
            follow_redirects=True,
            headers={"Accept-Encoding": "identity"},
        ) as response,
    ):
        response.raise_for_status()
        for chunk in _unpacked(response, limit + 1):
            content += chunk
            if len(content) > limit:
                raise DataError(f"{public(address)}: larger than {config.max_megabytes:g} MB; raise max_megabytes")
    return bytes(content)


def _unpacked(response: httpx.Response, most: int) -> Iterator[bytes]:
    """The body piece by piece, none larger than `most` bytes, though a server may pack what it was asked not to."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        yield from response.iter_raw()
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise DataError(
            f"{public(str(response.url))}: the bars are packed as {encoding[:40]!r}; gzip and deflate are read"
        )
    unpack = zlib.decompressobj(GZIP_OR_ZLIB)
    try:
        for chunk in response.iter_raw():
            yield unpack.decompress(chunk, most)
            if unpack.unconsumed_tail:
                yield bytes(most)  # more than may come: whoever counts refuses it
    except zlib.error as error:
        raise DataError(f"{public(str(response.url))}: damaged {encoding} ({error}); try again") from error
    if not unpack.eof:
        raise DataError(f"{public(str(response.url))}: the packed bars end too early; try again")


class _Network(httpcore.SyncBackend):
    """Connections to addresses that may be asked, for a limited time in all."""

    def __init__(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds
        self.seconds = seconds

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        if not roots.private_addresses():
            host = _checked(host, port)
        left = self.left(timeout, httpcore.ConnectTimeout)
        return _Timed(super().connect_tcp(host, port, left, local_address, socket_options), self)

    def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        raise httpcore.ConnectError("no address of the internet")

    def left(self, timeout: float | None, error: type[Exception]) -> float:
        """Seconds that are left for the next step: the client's own limit is one between two packets."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise error(f"not whole after {self.seconds:g} s")
        return left if timeout is None else min(left, timeout)


class _Timed(httpcore.NetworkStream):
    """A connection whose reads and writes all end in time: a server that drips meets no time-out between packets."""

    def __init__(self, stream: httpcore.NetworkStream, network: _Network) -> None:
        self.stream, self.network = stream, network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = self.network.left(timeout, httpcore.ReadTimeout)
        try:
            return self.stream.read(max_bytes, left)
        except httpcore.ReadTimeout:
            self.network.left(timeout, httpcore.ReadTimeout)  # says so, if it is the whole time that is over
            raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, self.network.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self.stream.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> "_Timed":
        left = self.network.left(timeout, httpcore.ConnectTimeout)
        return _Timed(self.stream.start_tls(ssl_context, server_hostname, left), self.network)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


def _checked(host: str, port: int) -> str:
    """The first address that a name has, if none of them is private.

    Raises:
        DataError: one is.
        httpcore.ConnectError: the name has none.
    """
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise httpcore.ConnectError(f"{host}: {error}") from error
    for address in found:
        if not is_public(address):
            raise DataError(
                f"{host}: {address} is an address of a private network or of this machine, which a served ingest does "
                "not read; start serve with --private-addresses if it should"
            )
    return found[0]


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet at large; those that hold an IPv4 address are judged by it."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (None, None))[1]
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def _fault(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"status {error.response.status_code} {error.response.reason_phrase}".strip()
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def public(address: str) -> str:
    """An address without user, password, query and fragment: those may be secrets, and logs are shared."""
    parts = urlsplit(address)
    host = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
