"""The program that renders chat templates: `python -m curation.engines.template_child`, a child with little memory and time.

A chat template comes with a model and is a program; Jinja's sandbox keeps it from files and code, but not from using all
memory and time. Reads one request a line on stdin as JSON, answers one line each with the text, or what is wrong.
"""

import json
import os
import resource
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from curation.template_faults import template_fault

MEMORY = 2**30
"""Bytes that the process may grow by."""
CPU_SECONDS = 10
"""Of one request."""
LONGEST = 20_000_000
"""Characters of one text."""


def answer(request: dict[str, Any]) -> dict[str, str]:
    """The text of a conversation under a template, exactly as transformers makes it."""
    from transformers.utils import chat_template_utils

    render: Any = chat_template_utils.render_jinja_template  # declared as a text, but it is a tuple
    used = int(time.process_time())
    resource.setrlimit(
        resource.RLIMIT_CPU, (used + CPU_SECONDS + 1, resource.getrlimit(resource.RLIMIT_CPU)[1])
    )
    try:
        (text,), _ = render(
            conversations=[request["messages"]],
            tools=request["tools"],
            chat_template=request["template"],
            add_generation_prompt=request["add_generation_prompt"],
            **request["special_tokens"],
            **request["settings"],
            **({"strftime_now": date.fromisoformat(request["day"]).strftime} if request["day"] else {}),
        )
        if len(text) > LONGEST:
            raise ValueError(f"a text of more than {LONGEST:,} characters")
    except Exception as error:  # noqa: BLE001 - a template can raise whatever it likes; its user is told
        return {"error": template_fault(error)}
    return {"text": text}


def main() -> None:
    """Answer until stdin ends."""
    import transformers.utils.chat_template_utils  # noqa: F401 - before the limits

    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", errors="surrogatepass")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(answer(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
