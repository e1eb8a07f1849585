"""A small server of the Hugging Face hub's protocol: commits of models, their files, and what was asked of it."""

import base64
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
        self.public: set[str] = set()
        self.writer = ""
        """The token that may write; without one, nobody may."""
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
                known = [{"rfilename": name} for name in files]
                found = {"id": name, "sha": commit, "private": name not in self.public, "siblings": known}
            return 200, {"Content-Type": "application/json"}, json.dumps(found).encode()
        if "/".join(parts[:2]) in names and parts[2] == "resolve":
            data = self.commits.get(parts[3], {}).get("/".join(parts[4:]))
            if data is not None:
                return 200, {"ETag": f'"{_digest(data)}"', "X-Repo-Commit": parts[3]}, data
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        return 401, {"X-Error-Code": "RepoNotFound"}, b""

    def take(self, path: str, token: str, body: bytes) -> tuple[int, Any]:
        """(status, answer) of what is sent: a new model, what its files will be, and a commit of them."""
        if not self.writer or token != f"Bearer {self.writer}":
            return 403, {"error": "this token may not write"}
        parts = path.partition("?")[0].strip("/").split("/")
        if parts == ["api", "validate-yaml"]:  # of a model card
            return 200, {"errors": [], "warnings": []}
        if parts == ["api", "repos", "create"]:
            wanted = json.loads(body)
            name = f"{wanted['organization']}/{wanted['name']}"
            if any(name == known for known, _ in self.branches):
                return 409, {"url": f"{self.address}/{name}"}
            self.push(name, {})
            self.public |= {name} if wanted.get("visibility") == "public" else set()
            return 200, {"url": f"{self.address}/{name}"}
        name, kind = "/".join(parts[2:4]), parts[4]
        if kind == "preupload":  # nothing is so large that it has to be sent by another way
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return 200, {"files": files}
        sent = [json.loads(line) for line in body.splitlines()]
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in sent if line["key"] == "file"
        }
        commit = self.push(name, self.commits[self.branches[name, "main"]] | files)
        return 200, {"commitUrl": f"{self.address}/{name}/commit/{commit}", "commitOid": commit}


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

        def do_POST(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, said = hub.take(self.path, self.headers.get("Authorization", ""), body)
            answer = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hub.address = f"http://127.0.0.1:{server.server_port}"
        yield hub
        server.shutdown()
