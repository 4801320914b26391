"""The program that fills in templates of recipes: `python -m curation.mix.filling`, a child with little memory and time.

It reads a template and the slots of rows as JSON, and writes the texts, or what is wrong with the template.
"""

import json
import resource
import sys

from curation.template_faults import template_fault

MEMORY = 2**30
"""Bytes."""
CPU_SECONDS = 120
LONGEST = 1_000_000
"""Characters of one text."""


def main() -> None:
    """Fill in what stands on stdin."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    work = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        template = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False).from_string(
            work["template"]
        )
        texts = []
        for slots in work["rows"]:
            texts.append(template.render(slots).strip())
            if len(texts[-1]) > LONGEST:
                raise ValueError(f"a text of more than {LONGEST:,} characters")
        answer: dict[str, object] = {"texts": texts}
    except Exception as error:  # noqa: BLE001 - a template can raise whatever it likes; its author is told
        answer = {"error": template_fault(error)}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
