"""Shows what lies in the results folder to browsers: a page of the runs with their verdicts, and their files.

The server of `serve` has it below `/results/`, under the names and the password that its API has (`tasks.gate`,
`tasks.access`). Files of runs are read and nothing else. What is hidden (locks, files that a writer has not finished)
and what lies outside of the folder, behind a link as well, is not found. Every answer forbids its page to run scripts,
to load anything and to be of the server's own origin: a report that somebody else wrote cannot use the reader's API.
"""

import base64
import hmac
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import PathLike, StaticFiles

from stonk_pipeline.errors import StageError
from stonk_pipeline.evaluation.headline import Tone
from stonk_pipeline.evaluation.results import VERDICT
from stonk_pipeline.files.untrusted import read_model
from stonk_pipeline.pipeline.compared import DIRECTORY, Verdict
from stonk_pipeline.pipeline.places import CONFIG, LOG
from stonk_pipeline.report.style import DARK, LIGHT
from tasks.gate import App, Receive, Scope, Send

PATH = "/results"
REPORT = "report.html"
TEXTS = (".csv", ".json", ".jsonl", ".log", ".md", ".yaml")
OFFERED = "STONK_SHOWN_RESULTS"
"""Variable with the folder that the server of this process's `serve` shows; not set where nobody shows one."""
KEPT_IN = (
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),  # a report that is written again is seen at the next look
)
"""Headers of every answer; a report is one file with its styles and pictures in it."""


def address(path: Path) -> str | None:
    """Returns the address of a file on the server that this run was started by; None where no server shows it."""
    shown = os.environ.get(OFFERED)
    if not shown or not path.resolve().is_relative_to(shown):
        return None
    return f"{PATH}/{quote(str(path.resolve().relative_to(shown)))}"


class Results:
    """Answers what is asked below `/results/`, and passes all else to an application."""

    def __init__(self, app: App, directory: Path, password: str | None = None) -> None:
        """Wraps an application.

        Args:
            app: the ASGI application.
            directory: the results folder, which may come to be later.
            password: what a client has to show (`user:password`); None if nothing.
        """
        self.app, self.directory = app, directory.resolve()
        self.shown = None if password is None else b"Basic " + base64.b64encode(password.encode())
        routes = [Route("/", self._runs), Mount("/", Files(directory=self.directory, check_dir=False))]
        self.pages = Starlette(routes=[Route(PATH, lambda _: RedirectResponse(f"{PATH}/")), Mount(PATH, routes=routes)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request, one websocket, or the application's life."""
        if scope["type"] != "http" or not (scope["path"] == PATH or scope["path"].startswith(f"{PATH}/")):
            await self.app(scope, receive, send)
            return

        async def sending(message: Scope) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *KEPT_IN]
            await send(message)

        asked = [value for name, value in scope["headers"] if name == b"authorization"]
        if self.shown is not None and not (len(asked) == 1 and hmac.compare_digest(asked[0], self.shown)):
            ask = {"WWW-Authenticate": 'Basic realm="Stonk Pipeline", charset="UTF-8"'}
            await PlainTextResponse("password needed", 401, ask)(scope, receive, sending)
        else:
            await self.pages(scope, receive, sending)

    def _runs(self, request: Request) -> Response:
        """The page of all runs, the latest first."""
        jinja = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
        page = jinja.get_template("results.html.j2")
        return HTMLResponse(page.render(runs=list(listed(self.directory)), light=LIGHT, dark=DARK))


class Files(StaticFiles):
    """The files of the runs in a folder that are not hidden."""

    config_checked = True
    """It is no mistake of the server's if the folder is not there yet."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Finds a file, where it is asked for and where links lead to: in a run's directory, and nowhere hidden."""
        nothing, directory = ("", None), Path(str(self.directory))
        found, stat = super().lookup_path(path)
        if not found:
            return nothing
        for parts in (Path(path).parts, Path(found).relative_to(directory).parts):
            if any(part.startswith(".") for part in parts) or not (directory / parts[0] / CONFIG).is_file():
                return nothing
        return found, stat

    def file_response(self, full_path: PathLike, stat_result: os.stat_result, *given: Any, **named: Any) -> Response:
        """Sends a file; logs and tables as text, which browsers show."""
        response = super().file_response(full_path, stat_result, *given, **named)
        if Path(full_path).suffix in TEXTS:
            response.headers["content-type"] = "text/plain; charset=utf-8"
        return response


class Listed(NamedTuple):
    """A run on the page of all runs."""

    name: str
    headline: str
    """Of its verdict; what it lacks, where it has none."""
    tone: Tone
    sentence: str
    warnings: list[str]
    report: str | None
    """Address of its report, if there is one."""
    log: str | None


def listed(directory: Path) -> Iterator[Listed]:
    """Lists the runs in a results folder, the latest first, each with its verdict."""
    found = [path for path in directory.glob("[!.]*/") if (path / CONFIG).is_file() and not path.is_symlink()]
    for run in sorted(found, key=lambda path: (path / CONFIG).stat().st_mtime, reverse=True):
        links = [f"{PATH}/{quote(run.name)}/{name}" if (run / name).is_file() else None for name in (REPORT, LOG)]
        yield Listed(run.name, *_verdict(run), *links)


def _verdict(run: Path) -> tuple[str, Tone, str, list[str]]:
    """Headline, its colour, sentence and warnings of a run's verdict, or why it has none."""
    try:
        verdict = read_model(run / DIRECTORY / VERDICT, Verdict, StageError, "run the comparison again")
    except FileNotFoundError:
        return "no verdict yet", "none", "Its models have not been compared.", []
    except StageError as error:
        return "verdict damaged", "bad", str(error), []
    return *verdict.headline, verdict.sentence, warnings_of(verdict)


def warnings_of(verdict: Verdict) -> list[str]:
    """Lists the warnings of a verdict, which each contract words for itself."""
    found = (verdict.model_extra or {}).get("warnings")
    return [str(warning) for warning in found] if isinstance(found, list) else []
