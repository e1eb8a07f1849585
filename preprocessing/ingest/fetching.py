"""Downloads bars over HTTP within limits on addresses, time and size.

An address may come from a form. A served ingest therefore reads none in private networks or on this machine, where an
address is often all that is asked for (`stonk_pipeline.files.roots`). The name is resolved once, each address that it
has is checked, and the connection goes to one that was checked. This happens where connections are opened, so that it
holds for redirects too, and for a name that leads elsewhere a moment later.
"""

import contextlib
import ipaddress
import socket
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpcore
import httpx

from stonk_pipeline.config.operations import IngestConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.files import roots

TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
"""HTTP status codes after which another attempt may succeed."""
MOST_PAUSE = 60.0
MOST_REDIRECTS = 5
AROUND = 2
"""Bytes that may come for each byte of bars that is allowed: a body in small pieces has a frame around each."""
LEAST_BYTES = 1_000_000
"""What may come besides, for headers."""
GZIP_OR_ZLIB = 47
"""zlib's `wbits` that takes either header."""
INTERNET = ipaddress.ip_network("2000::/3")
"""All that is given to the internet at large in IPv6; the rest is local, wrapped, outdated or not given to anybody."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")
CLOUD = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")))
"""Where clouds tell a machine its secrets, besides the link-local 169.254.169.254: Alibaba, Azure, Oracle, Amazon."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def download(address: str, config: IngestConfig) -> bytes:
    """Downloads an address.

    Raises:
        DataError: names the address (without its query) and the fault; the last one if it is a transient one.
    """
    for attempt in range(1, config.attempts + 1):
        try:
            return _attempt(address, config)
        except httpx.InvalidURL:  # whose text may quote a password
            raise DataError(f"{public(address)}: not an address that can be asked; check its host and signs") from None
        except httpx.HTTPError as error:
            transient = isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)
            again = transient or (isinstance(error, httpx.HTTPStatusError) and error.response.status_code in TRANSIENT)
            if not again or attempt == config.attempts:
                tries = f" ({attempt} attempts)" if attempt > 1 else ""
                raise DataError(f"{public(address)}: {_fault(error)}{tries}") from error
            time.sleep(min(config.pause_seconds * 2 ** (attempt - 1), MOST_PAUSE))
    raise AssertionError("no attempt was made")


def _attempt(address: str, config: IngestConfig) -> bytes:
    network = _Network(address, config)
    transport = httpx.HTTPTransport()
    transport._pool._network_backend = network  # httpx passes none on; a test shows that it is the one in use
    # No proxy that the environment names: it would resolve the name anew, where nobody checks it.
    with httpx.Client(transport=transport, trust_env=False, timeout=config.timeout_seconds) as client:
        request = client.build_request("GET", address, headers={"Accept-Encoding": "identity"})
        for _ in range(MOST_REDIRECTS + 1):
            with contextlib.closing(client.send(request, stream=True)) as response:
                if response.next_request is None:
                    response.raise_for_status()
                    return _content(response, config, address)
                request = response.next_request  # of a redirect's own body, which may have no end, nothing is read
    raise DataError(f"{public(address)}: more than {MOST_REDIRECTS} redirects; give the address that they lead to")


def _content(response: httpx.Response, config: IngestConfig, address: str) -> bytes:
    limit = int(config.max_megabytes * 1e6)
    content = bytearray()
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
            if unpack.unused_data:  # of gzip files put one behind the other, all but the first would be lost unseen
                raise DataError(f"{public(str(response.url))}: {encoding} in several parts; give the bars as one")
    except zlib.error as error:
        raise DataError(f"{public(str(response.url))}: damaged {encoding} ({error}); try again") from error
    if not unpack.eof:
        raise DataError(f"{public(str(response.url))}: the packed bars end too early; try again")


class _Network(httpcore.SyncBackend):
    """Connections to addresses that may be asked, for a limited time and a limited number of bytes in all."""

    def __init__(self, address: str, config: IngestConfig) -> None:
        self.address, self.seconds, self.megabytes = address, config.timeout_seconds, config.max_megabytes
        self.until = time.monotonic() + self.seconds
        self.bytes = int(AROUND * self.megabytes * 1e6) + LEAST_BYTES

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = [host] if roots.roots() is None else _checked(host, port)
        for behind, address in reversed(list(enumerate(reversed(addresses)))):
            share = self.left(timeout, httpcore.ConnectTimeout) / (behind + 1)
            try:
                return _Timed(super().connect_tcp(address, port, share, local_address, socket_options), self)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not behind:
                    raise
        raise AssertionError("no address was tried")

    def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        raise httpcore.ConnectError("no address of the internet")

    def left(self, timeout: float | None, error: type[Exception]) -> float:
        """Seconds that are left for the next step: the client's own limit is one between two packets."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise error(f"not whole after {self.seconds:g} s")
        return left if timeout is None else min(left, timeout)

    def take(self, count: int) -> None:
        """Counts what has come, whatever it was: headers, what stands around the bars, and what is thrown away.

        Raises:
            DataError: it is more than bars of the allowed size can need.
        """
        self.bytes -= count
        if self.bytes < 0:
            raise DataError(
                f"{public(self.address)}: larger than {self.megabytes:g} MB with all that was sent around the bars; "
                "raise max_megabytes"
            )


class _Timed(httpcore.NetworkStream):
    """A connection whose reads and writes all end in time: a server that drips meets no time-out between packets."""

    def __init__(self, stream: httpcore.NetworkStream, network: _Network) -> None:
        self.stream, self.network = stream, network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = self.network.left(timeout, httpcore.ReadTimeout)
        try:
            content = self.stream.read(max_bytes, left)
        except httpcore.ReadTimeout:
            self.network.left(timeout, httpcore.ReadTimeout)  # says so, if it is the whole time that is over
            raise
        self.network.take(len(content))
        return content

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, self.network.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self.stream.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> "_Timed":
        left = self.network.left(timeout, httpcore.ConnectTimeout)
        return _Timed(self.stream.start_tls(ssl_context, server_hostname, left), self.network)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


def _checked(host: str, port: int) -> list[str]:
    """The addresses that a name has, if a served ingest may read all of them.

    Raises:
        DataError: it may not.
        httpcore.ConnectError: the name has none.
    """
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"{host}: {error}") from error
    for address in found:
        if is_never_read(address):
            raise DataError(
                f"{host}: {address} is link-local or no address of one machine (a cloud's secrets are to be had from "
                "such), which no served ingest reads; give an address of the machine that has the bars"
            )
        if not roots.private_addresses() and not is_public(address):
            raise DataError(
                f"{host}: {address} is an address of a private network or of this machine, which a served ingest does "
                "not read; start serve with --private-addresses if it should"
            )
    return found


def is_public(address: str) -> bool:
    """Tells whether an IP address belongs to the internet at large."""
    ip = _meant(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip not in INTERNET:
        return False
    return ip.is_global and not ip.is_multicast and ip not in CLOUD


def is_never_read(address: str) -> bool:
    """Tells whether an IP address is refused even where private ones are allowed."""
    ip = _meant(address)
    return ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip in CLOUD


def _meant(address: str) -> Address:
    """The address that an IPv6 address stands for, if it holds one of IPv4; else the address itself."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (None, None))[1]
        return inner or (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else ip)
    return ip


def _fault(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"status {error.response.status_code} {error.response.reason_phrase}".strip()
    told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"{told}; raise timeout_seconds" if isinstance(error, httpx.TimeoutException) else told


def public(address: str) -> str:
    """Strips an address of user, password, query and fragment: those may be secrets, and logs are shared.

    Neither is anything shown that may be the end of a password with a / in it, which ends the host's name there.
    """
    parts = urlsplit(address)
    try:
        host = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
    except ValueError:
        host = parts.hostname or ""
    return urlunsplit((parts.scheme, host, "" if "@" in parts.path else parts.path, "", ""))
