"""A chat template is a program of whoever made the model: it is tried before it is used."""

import json
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from stonk_pipeline.errors import PromptError
from stonk_pipeline.training.template_probe import MEGABYTES, SECONDS
from stonk_pipeline.untrusted import shown

LONGEST_TEMPLATE = 200_000
"""Characters; those of known models have less than 20,000."""
REMEDY = "choose another model, or put the template of its base model there"
CONVERSATION = (
    {"role": "system", "content": "You forecast closes."},
    {"role": "user", "content": "closes: 100.00 101.25"},
    {"role": "assistant", "content": "102.50"},
)


@lru_cache
def check_template(template: str, place: str) -> None:
    """Renders a short conversation within bounds of time and memory.

    Args:
        template: Jinja text.
        place: model or file, for the message.

    Raises:
        PromptError: it does not end, grows without end, reaches for what the sandbox keeps from it, or is no template.
    """
    if len(template) > LONGEST_TEMPLATE:
        raise PromptError(f"{place}: its chat template is longer than {LONGEST_TEMPLATE:,} characters; {REMEDY}")
    probe = Path(__file__).with_name("template_probe.py")
    given = json.dumps({"template": template, "messages": CONVERSATION})
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(probe)],
            input=given,
            capture_output=True,
            text=True,
            timeout=3 * SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PromptError(f"{place}: its chat template runs for more than {3 * SECONDS} s; {REMEDY}") from error
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise PromptError(f"{place}: its chat template runs for more than {SECONDS} s; {REMEDY}")
    if done.returncode:
        why = done.stdout or f"needs more than {MEGABYTES:,} MB, or ended the process ({done.returncode})"
        raise PromptError(f"{place}: its chat template cannot be used ({shown(why)}); {REMEDY}")


def check_tokenizer(tokenizer: Any) -> None:
    """Tries every chat template of a tokenizer; one without any is for others to refuse.

    Raises:
        PromptError: see `check_template`.
    """
    templates = tokenizer.chat_template
    for template in templates.values() if isinstance(templates, dict) else [templates] if templates else []:
        check_template(template, str(tokenizer.name_or_path))
