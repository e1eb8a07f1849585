"""Sources of bars, each through the interface that the store calls; the address template against a real server."""

import contextlib
import gzip
import os
import socket
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest
from pydantic import ValidationError

from preprocessing.ingest import fetching
from preprocessing.ingest.fetching import download
from preprocessing.ingest.sources import make_source, source_name, source_symbols
from stonk_pipeline.config.operations import IngestConfig
from stonk_pipeline.errors import DataError, EngineError

Answer = Callable[[BaseHTTPRequestHandler, int], None]
"""(handler, number of the request from 1)"""


class Site:
    """A web server on the loopback interface that answers as a test says, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Answer = lambda handler, number: say(handler, 404, b"")
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                site.answer(self, len(site.asked))

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"


def say(handler: BaseHTTPRequestHandler, status: int, body: bytes, length: int | None = None) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def site() -> Iterator[Site]:
    running = Site()
    thread = threading.Thread(target=running.server.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.server.shutdown()
    thread.join()
    running.server.server_close()


@pytest.fixture
def csv(ohlcv) -> bytes:
    return ohlcv.to_csv(index=False).encode()


def config(site: Site, path: str = "/{symbol}.csv", **changes: object) -> IngestConfig:
    fast = {"attempts": 3, "pause_seconds": 0.0, "timeout_seconds": 5.0}
    return IngestConfig(source="http", address=site.address + path, **(fast | changes))


def test_http_source_gives_clean_bars(site, csv, ohlcv):
    site.answer = lambda handler, _: say(handler, 200, csv)
    bars = make_source(config(site))("aapl", None)
    pd.testing.assert_frame_equal(bars.frame, ohlcv, check_dtype=False)
    assert bars.stock == "AAPL"
    assert site.asked == ["/AAPL.csv"]


def test_http_source_fills_in_symbol_and_day(site, csv):
    site.answer = lambda handler, _: say(handler, 200, csv)
    fetch = make_source(config(site, "/bars?of={symbol}&from={after}", start="2011-02-03"))
    fetch("^GSPC", date(2026, 11, 2))
    fetch("BRK-A", None)
    assert site.asked == ["/bars?of=%5EGSPC&from=2026-11-02", "/bars?of=BRK-A&from=2011-02-03"]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_http_source_tries_a_transient_status_again(site, csv, status):
    site.answer = lambda handler, number: say(handler, status if number < 3 else 200, csv)
    assert len(make_source(config(site))("AAPL", None).frame) == 400
    assert len(site.asked) == 3


def test_http_source_tries_a_broken_transfer_again(site, csv):
    def answer(handler, number):
        say(handler, 200, csv[:1000] if number == 1 else csv, length=len(csv))
        handler.close_connection = True

    site.answer = answer
    assert len(make_source(config(site))("AAPL", None).frame) == 400
    assert len(site.asked) == 2


def test_http_source_gives_up_after_the_attempts(site):
    site.answer = lambda handler, _: say(handler, 503, b"")
    with pytest.raises(DataError, match=r"status 503.*3 attempts"):
        make_source(config(site))("AAPL", None)
    assert len(site.asked) == 3


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_http_source_takes_other_statuses_as_final(site, status):
    site.answer = lambda handler, _: say(handler, status, b"")
    with pytest.raises(DataError, match=f"status {status}"):
        make_source(config(site))("AAPL", None)
    assert len(site.asked) == 1


def test_http_source_says_that_nobody_answers(site):
    closed = config(site).model_copy(update={"address": "http://127.0.0.1:9/{symbol}.csv"})
    with pytest.raises(DataError, match=r"127.0.0.1:9/AAPL.csv: ConnectError.*3 attempts"):
        make_source(closed)("AAPL", None)


def test_http_source_ends_an_answer_that_drips(site):
    def drip(handler, number):
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        try:
            for _ in range(200):
                handler.wfile.write(b"x")
                handler.wfile.flush()
                threading.Event().wait(0.05)
        except OSError:
            pass  # the reader is gone, as it should be

    site.answer = drip
    with pytest.raises(DataError, match="not whole after"):
        make_source(config(site, timeout_seconds=0.3, attempts=1))("AAPL", None)


def test_http_source_stops_at_the_size_limit(site):
    site.answer = lambda handler, _: say(handler, 200, b"x" * 300_000)
    with pytest.raises(DataError, match=r"larger than 0.2 MB; raise max_megabytes"):
        make_source(config(site, max_megabytes=0.2))("AAPL", None)
    assert len(site.asked) == 1


def test_http_source_names_the_address_but_no_secret(site):
    site.answer = lambda handler, _: say(handler, 200, b"<html>no bars</html>")
    hidden = site.address.replace("http://", "http://me:word@") + "/{symbol}.csv?key=secret"
    asking = config(site).model_copy(update={"address": hidden})
    with pytest.raises(DataError) as caught:
        make_source(asking)("AAPL", None)
    told = str(caught.value) + source_name(asking)
    assert "127.0.0.1" in told
    assert "AAPL.csv" in told
    assert "secret" not in told
    assert "word" not in told
    assert "/tmp" not in told


def test_http_source_asks_for_no_path_outside(site):
    with pytest.raises(DataError, match="not a stock symbol"):
        make_source(config(site))("../secret", None)
    assert site.asked == []


@pytest.mark.parametrize(
    "address", ["", "ftp://host/{symbol}", "file:///etc/{symbol}", "https://{symbol}.host/", "http://h/{symbol}/{day}"]
)
def test_ingest_config_refuses_an_address_that_is_none(address):
    with pytest.raises(ValidationError, match="address"):
        IngestConfig(source="http", address=address)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://u:se/cret@example.com/{symbol}.csv", r"in a user or a password / \? # @"),
        ("http://u:se?cret@example.com/{symbol}.csv", r"in a user or a password / \? # @"),
        ("http://u:12/cret@example.com/{symbol}.csv", "an @ stands after the host's name"),
        ("http://u:cret[@example.com/{symbol}.csv", "its host or its port cannot be read"),
        ("http://u:cret@ex\u2100mple.com/{symbol}.csv", "its host or its port cannot be read"),
        ("http://u:cret@example.com:99999/{symbol}.csv", "a port is a number up to 65535"),
        ("http://u:cret@example.com:port/{symbol}.csv", "a port is a number up to 65535"),
        ("ftp://u:cret@example.com/{symbol}.csv", "must begin with http"),
    ],
)
def test_ingest_config_refuses_ports_and_passwords_without_quoting_them(address, said):
    with pytest.raises(ValidationError, match=said) as caught:
        IngestConfig(source="http", address=address)
    assert "cret" not in str(caught.value)


def test_ingest_config_takes_a_password_with_every_sign_written_out():
    address = "http://u:s%2F%3F%23%40@example.com:8080/a%40b/{symbol}.csv"
    assert fetching.public(IngestConfig(source="http", address=address).address) == (
        "http://example.com:8080/a%40b/{symbol}.csv"
    )


@pytest.mark.parametrize("address", ["http://u:se/cret@example.com/a", "http://u:12/cret@example.com/a"])
def test_public_shows_no_end_of_a_password(address):
    assert "cret" not in fetching.public(address)


def test_download_names_an_address_that_cannot_be_asked(site):
    with pytest.raises(DataError, match="not an address that can be asked") as caught:
        download("http://me:word/x@example.com/a", config(site, attempts=1))
    assert "word" not in str(caught.value)


def test_folder_source_lists_and_reads_files(tmp_path, ohlcv):
    ohlcv.to_csv(tmp_path / "aapl.csv", index=False)
    ohlcv.to_parquet(tmp_path / "BRK-A.parquet")
    (tmp_path / "readme.txt").touch()
    (tmp_path / ".hidden.csv").touch()
    watched = IngestConfig(folder=str(tmp_path))
    assert source_symbols(watched) == ["AAPL", "BRK-A"]
    for symbol in ("AAPL", "BRK-A"):
        assert len(make_source(watched)(symbol, None).frame) == 400


def test_folder_source_leaves_a_file_that_is_being_written(tmp_path, ohlcv):
    path = tmp_path / "AAPL.csv"
    ohlcv.to_csv(path, index=False)
    timer = threading.Timer(0.4, lambda: ohlcv.head(300).to_csv(path, index=False))
    timer.start()
    with pytest.raises(DataError, match="being written"):
        make_source(IngestConfig(folder=str(tmp_path)))("AAPL", None)
    timer.join()
    os.utime(path, (0, 0))
    assert len(make_source(IngestConfig(folder=str(tmp_path)))("AAPL", None).frame) == 300


def test_folder_source_says_that_the_folder_is_missing(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        source_symbols(IngestConfig(folder=str(tmp_path / "none")))


def test_yahoo_source_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "yfinance", None)  # as where it is not installed
    with pytest.raises(EngineError, match=r"stonk_pipeline\[yahoo\]"):
        make_source(IngestConfig(source="yahoo"))


def test_download_stops_a_header_that_drips(site):
    def drip(handler, number):
        with contextlib.suppress(OSError):
            for _ in range(200):
                handler.wfile.write(b"X" if _ else b"HTTP/1.1 200 OK\r\nX-Long: ")
                handler.wfile.flush()
                threading.Event().wait(0.05)

    site.answer = drip
    with pytest.raises(DataError, match=r"not whole after 0.4 s"):
        download(f"{site.address}/AAPL.csv", config(site, attempts=1, timeout_seconds=0.4))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_download_counts_what_a_packed_answer_unpacks_to(site, encoding):
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}[encoding]

    def answer(handler, number):
        body = pack(b"a" * (1000 if number == 1 else 300_000_000))
        handler.send_response(200)
        handler.send_header("Content-Encoding", encoding)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        with contextlib.suppress(OSError):
            handler.wfile.write(body)

    site.answer = answer
    assert download(f"{site.address}/a", config(site)) == b"a" * 1000
    tracemalloc.start()
    with pytest.raises(DataError, match="larger than 1 MB; raise max_megabytes"):
        download(f"{site.address}/a", config(site, max_megabytes=1.0))
    client_and_server = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert client_and_server < 320e6  # the server's 300 MB, and a few of the client's


def test_download_refuses_another_packing_and_a_damaged_one(site):
    def answer(handler, number):
        handler.send_response(200)
        handler.send_header("Content-Encoding", ["br", "gzip", "gzip"][number - 1])
        body = [b"abc", b"abc", gzip.compress(b"a" * 1000)[:-12]][number - 1]
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    site.answer = answer
    for told in ("packed as 'br'", "damaged gzip", "end too early"):
        with pytest.raises(DataError, match=told):
            download(f"{site.address}/a", config(site))


@pytest.fixture
def served(monkeypatch, tmp_path):
    monkeypatch.setenv("STONK_ROOTS", str(tmp_path))
    monkeypatch.delenv("STONK_PRIVATE_ADDRESSES", raising=False)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"]
)
def test_download_asks_nothing_of_this_machine_when_served(site, served, host):
    address = f"http://{host}:{site.server.server_port}/AAPL.csv"
    with pytest.raises(DataError, match=r"--private-addresses|ConnectError|no served ingest"):
        download(address, config(site, attempts=1))
    assert site.asked == []


def test_download_reads_private_addresses_if_serve_allows_them(site, served, monkeypatch):
    monkeypatch.setenv("STONK_PRIVATE_ADDRESSES", "1")
    site.answer = lambda handler, number: say(handler, 200, b"x")
    assert download(f"{site.address}/a", config(site)) == b"x"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://127.0.0.1/a"])
def test_download_follows_no_redirect_to_another_scheme(site, target):
    def answer(handler, number):
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    site.answer = answer
    with pytest.raises(DataError, match="UnsupportedProtocol"):
        download(f"{site.address}/a", config(site))


def test_download_checks_redirects_and_ends_their_circle(site, monkeypatch, tmp_path):
    def answer(handler, number):
        handler.send_response(302)
        handler.send_header("Location", "http://127.0.0.1:9/inner" if number == 1 else "/again")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    site.answer = answer
    allowed = fetching.is_public
    # The first hop stands for a public server: this machine has no other address to offer.
    monkeypatch.setenv("STONK_ROOTS", str(tmp_path))
    hops: list[str] = []

    def first_passes(address):
        hops.append(address)
        return len(hops) == 1 or allowed(address)

    monkeypatch.setattr(fetching, "is_public", first_passes)
    with pytest.raises(DataError, match=r"127.0.0.1: 127.0.0.1 is an address of a private network"):
        download(f"{site.address}/a", config(site))
    assert site.asked == ["/a"] and len(hops) == 2
    monkeypatch.delenv("STONK_ROOTS")
    with pytest.raises(DataError, match="more than 5 redirects; give the address that they lead to"):
        download(f"{site.address}/a", config(site))
    assert len(site.asked) == 1 + 1 + fetching.MOST_REDIRECTS


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:0a00:0001::", False),
        ("64:ff9b::5db8:d70e", True),
        ("64:ff9b:1::a00:1", False),
        ("fec0::1", False),
        ("::127.0.0.1", False),
        ("168.63.129.16", False),
        ("192.0.0.192", False),
    ],
)
def test_is_public_knows_private_and_wrapped_addresses(address, public):
    assert fetching.is_public(address) is public


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "[fe80::1]", "0.0.0.0", "[::]", "224.0.0.1", "[::ffff:169.254.169.254]", "100.100.100.200"],
)
def test_download_never_reads_where_clouds_keep_their_secrets(site, served, monkeypatch, host):
    monkeypatch.setenv("STONK_PRIVATE_ADDRESSES", "1")
    with pytest.raises(DataError, match=r"link-local or no address of one machine .* which no served ingest reads"):
        download(f"http://{host}:{site.server.server_port}/latest", config(site, attempts=1))
    assert site.asked == []


def test_download_tries_each_address_of_a_name(site, served, monkeypatch):
    monkeypatch.setenv("STONK_PRIVATE_ADDRESSES", "1")
    site.answer = lambda handler, number: say(handler, 200, b"x")
    # A name cannot be given two addresses without a name server; the second stands for an IPv4 behind a dead IPv6.
    monkeypatch.setattr(fetching, "_checked", lambda host, port: ["127.1.2.3", "127.0.0.1"])
    assert download(f"http://two.example:{site.server.server_port}/a", config(site, attempts=1)) == b"x"
    monkeypatch.setattr(fetching, "_checked", lambda host, port: ["127.1.2.3"])
    with pytest.raises(DataError, match="ConnectError"):
        download(f"http://two.example:{site.server.server_port}/a", config(site, attempts=1))


def test_download_connects_to_the_address_that_was_checked(site, served, monkeypatch):
    """A name that leads elsewhere when it is asked for again."""
    monkeypatch.setenv("STONK_PRIVATE_ADDRESSES", "1")
    told, asked, look_up = [], [], socket.getaddrinfo

    def changing(host, *rest, **more):
        if host == "rebound.example":
            asked.append(host)
            host = "127.0.0.1" if len(asked) == 1 else "127.1.2.3"
        return look_up(host, *rest, **more)

    def answer(handler, number):
        told.append(handler.headers["Host"])
        say(handler, 200, b"x")

    site.answer = answer
    monkeypatch.setattr(socket, "getaddrinfo", changing)
    name = f"rebound.example:{site.server.server_port}"
    assert download(f"http://{name}/a", config(site, attempts=1)) == b"x"
    assert (told, asked) == ([name], ["rebound.example"])


def test_download_goes_through_no_proxy_with_private_addresses_either(site, served, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", site.address)
    monkeypatch.setenv("STONK_PRIVATE_ADDRESSES", "1")
    with pytest.raises(DataError, match="ConnectError"):
        download("http://no-such-host.invalid/a", config(site, attempts=1))
    assert site.asked == []


def test_download_goes_through_no_proxy_when_served(site, served, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", site.address)
    with pytest.raises(DataError, match=r"10\.1\.2\.3 is an address of a private network"):
        download("http://10.1.2.3/a", config(site, attempts=1))
    assert site.asked == []


def test_download_loses_no_part_of_packed_bars(site):
    def answer(handler, number):
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.end_headers()
        handler.wfile.write(gzip.compress(b"first") + gzip.compress(b"second"))

    site.answer = answer
    with pytest.raises(DataError, match="gzip in several parts"):
        download(f"{site.address}/a", config(site))
