"""Gives a page pictures that can be zoomed: uPlot 1.6.32, a small chart library, written into the page itself.

`uplot/` holds its files as the npm registry has them, with their licence (MIT), which goes into the page too. The page
then needs no network, and its content security policy allows none.
"""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

UPLOT = Path(__file__).parent / "uplot"


def library() -> tuple[str, str]:
    """Reads uPlot: (its script, which defines `uPlot`, with its licence as a comment; its CSS)."""
    licence, script, css = (
        (UPLOT / name).read_text(encoding="utf-8").strip() for name in ("LICENSE", "uPlot.iife.min.js", "uPlot.min.css")
    )
    return f"/* uPlot\n\n{licence}\n*/\n{script}", css


def policy(scripts: Sequence[str]) -> str:
    """Writes a content security policy under which a page runs these inline scripts, and nothing else.

    Whatever text of others a page shows cannot run then, nor can the page fetch or send anything.
    """
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
