"""Servers that want to hold an ingest for ever, or to fill its memory: each is left in time, and after few bytes."""

import contextlib
import gzip
import itertools
import re
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from preprocessing.ingest.fetching import download
from stonk_pipeline.config.operations import IngestConfig
from stonk_pipeline.errors import DataError

SECONDS = 0.25
"""Limit of the time."""
MEGABYTES = 0.2
"""Limit of the size."""
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
AWAY = b"HTTP/1.1 302 Found\r\nLocation: /on\r\n"
BLOCK = b"x" * 65_536
Sent = Iterator[bytes]


class Attacker:
    """A server of raw bytes, which sends the pieces of an attack one after the other and counts them."""

    def __init__(self, attack: Callable[[int], Sent]) -> None:
        self.attack, self.sent, self.served = attack, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/AAPL.csv"
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.served += 1
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(5)
                    connection.recv(65_536)
                    for piece in self.attack(self.served):
                        connection.sendall(piece)
                        self.sent += len(piece)


def dripping(begin: bytes, drop: bytes = b"x") -> Callable[[int], Sent]:
    def attack(served: int) -> Sent:
        yield begin
        while True:
            time.sleep(0.02)
            yield drop

    return attack


def endless(begin: bytes, block: bytes) -> Callable[[int], Sent]:
    return lambda served: itertools.chain([begin], itertools.repeat(block))


def slow_chain(served: int) -> Sent:
    """Redirects that each come within the limit."""
    time.sleep(0.6 * SECONDS)
    yield AWAY + b"Content-Length: 0\r\n\r\n"


def silent(served: int) -> Sent:
    time.sleep(2 * SECONDS)
    yield b""


TIME = rf"ReadTimeout: not whole after {SECONDS:g} s; raise timeout_seconds$"
SIZE = rf"larger than {MEGABYTES:g} MB.*; raise max_megabytes$"
LONG = r"RemoteProtocolError: "
"""A head or a frame of more than 100 kB is none, whatever the settings allow."""

ATTACKS = {
    "status line that drips": (dripping(b"HTTP/1.1 2"), TIME),
    "header that drips": (dripping(OK + b"X-Long: "), TIME),
    "headers that drip": (dripping(OK, b"X: y\r\n"), TIME),
    "body that drips": (dripping(OK + b"Content-Length: 100000\r\n\r\n"), TIME),
    "chunk size that drips": (dripping(CHUNKED + b"1;", b"x"), TIME),
    "trailers that drip": (dripping(CHUNKED + b"1\r\nx\r\n0\r\n", b"X: y\r\n"), TIME),
    "100 Continue that drips": (dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), TIME),
    "nothing": (silent, TIME),
    "redirects that are slow in sum": (slow_chain, TIME),
    "redirect body that drips": (dripping(AWAY + b"Content-Length: 99999\r\n\r\n"), f"redirects|{TIME}"),
    "status line without end": (endless(b"HTTP/1.1 200 ", BLOCK), LONG),
    "header without end": (endless(OK + b"X-Long: ", BLOCK), LONG),
    "headers without end": (endless(OK, b"X-Other: y\r\n" * 1000), LONG),
    "chunk size without end": (endless(CHUNKED, b"0" * 65_536), LONG),
    "chunk extension without end": (endless(CHUNKED + b"1;a=", BLOCK), LONG),
    "trailers without end": (endless(CHUNKED + b"1\r\nx\r\n0\r\n", b"X-Other: y\r\n" * 1000), LONG),
    "chunks with long extensions": (endless(CHUNKED, (b"1;" + b"x" * 999 + b"\r\nx\r\n") * 50), SIZE),
    "100 Continue without end": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), f"{TIME}|{SIZE}"),
    "103 with headers without end": (endless(b"", b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" * 1000), f"{TIME}|{SIZE}"),
    "body without end": (endless(OK + b"\r\n", BLOCK), SIZE),
    "redirect body without end": (endless(AWAY + b"\r\n", BLOCK), "redirects"),
}


@pytest.fixture
def attacker() -> Iterator[Callable[[Callable[[int], Sent]], Attacker]]:
    made: list[Attacker] = []

    def make(attack: Callable[[int], Sent]) -> Attacker:
        made.append(Attacker(attack))
        made[-1].thread.start()
        return made[-1]

    yield make
    for one in made:
        one.listener.shutdown(socket.SHUT_RDWR)
        one.listener.close()
        one.thread.join(6)


def ask(url: str) -> bytes:
    config = IngestConfig(
        source="http",
        address=url.replace("AAPL", "{symbol}"),
        attempts=1,
        timeout_seconds=SECONDS,
        max_megabytes=MEGABYTES,
    )
    return download(url, config)


@pytest.mark.parametrize("name", ATTACKS)
def test_download_ends_within_its_limits(attacker, name):
    attack, told = ATTACKS[name]
    server = attacker(attack)
    begun = time.monotonic()
    with pytest.raises(DataError) as caught:
        ask(server.url)
    assert time.monotonic() - begun < SECONDS + 1
    assert str(caught.value).startswith(f"{server.url}: ")
    assert re.search(told, str(caught.value)), caught.value
    assert server.sent < 20e6  # what the limits allow, and what the two ends of a connection hold


def test_download_unpacks_no_redirect(attacker):
    bomb = gzip.compress(bytes(100_000_000), 1)
    head = AWAY + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    server = attacker(lambda served: iter([head + bomb if served == 1 else OK + b"Content-Length: 4\r\n\r\nbars"]))
    tracemalloc.start()
    try:
        with contextlib.suppress(DataError):
            ask(server.url)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_download_follows_a_redirect_whose_body_has_no_end(attacker):
    def attack(served: int) -> Sent:
        if served == 1:
            yield from endless(AWAY + b"\r\n", BLOCK)(served)
        yield OK + b"Content-Length: 4\r\n\r\nbars"

    assert ask(attacker(attack).url) == b"bars"


def test_download_leaves_a_machine_that_does_not_answer():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # whoever comes after the first ones waits until those were accepted, which nobody does
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        begun = time.monotonic()
        with pytest.raises(DataError, match=r"/AAPL.csv: ConnectTimeout: .*; raise timeout_seconds$"):
            ask(f"http://127.0.0.1:{full.getsockname()[1]}/AAPL.csv")
        assert time.monotonic() - begun < SECONDS + 1
        for one in waiting:
            one.close()
