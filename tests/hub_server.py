"""A small server of the Hugging Face hub's protocol: commits of models, their files, and what was asked of it."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Files = dict[str, bytes]


class Hub:
    """Commits of models, and the branches that name them."""

    def __init__(self) -> None:
        self.commits: dict[str, Files] = {}
        self.branches: dict[tuple[str, str], str] = {}
        """(model, branch) -> commit."""
        self.asked: list[str] = []
        self.address = ""

    def push(self, name: str, files: Files, branch: str = "main") -> str:
        """A new commit of a model at the head of a branch."""
        commit = hashlib.sha1(f"{name} {len(self.commits)}".encode()).hexdigest()
        self.commits[commit], self.branches[name, branch] = files, commit
        return commit

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body) of a request."""
        parts = path.partition("?")[0].strip("/").split("/")
        names = {name for name, _ in self.branches}
        if parts[:2] == ["api", "models"] and "/".join(parts[2:4]) in names:
            name, (kind, revision) = "/".join(parts[2:4]), parts[4:6] or ("revision", "main")
            commit = self.branches.get((name, revision), revision)
            if commit not in self.commits:
                return 404, {"X-Error-Code": "RevisionNotFound"}, b""
            files = self.commits[commit]
            if kind == "tree":
                found: Any = [
                    {"type": "file", "path": name, "size": len(data), "oid": _digest(data)}
                    for name, data in files.items()
                ]
            else:
                found = {"id": name, "sha": commit, "siblings": [{"rfilename": name} for name in files]}
            return 200, {"Content-Type": "application/json"}, json.dumps(found).encode()
        if "/".join(parts[:2]) in names and parts[2] == "resolve":
            data = self.commits.get(parts[3], {}).get("/".join(parts[4:]))
            if data is not None:
                return 200, {"ETag": f'"{_digest(data)}"', "X-Repo-Commit": parts[3]}, data
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        return 401, {"X-Error-Code": "RepoNotFound"}, b""


def _digest(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@contextmanager
def serving() -> Iterator[Hub]:
    """Serves a hub on this machine while the block runs."""
    hub = Hub()

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            status, headers, body = hub.answer(self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hub.address = f"http://127.0.0.1:{server.server_port}"
        yield hub
        server.shutdown()
