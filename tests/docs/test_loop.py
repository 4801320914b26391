"""The transcript of the loop on a real model has the commands that make it, and all of them ended well."""

import re

from tests.docs.loop import PAGE, STEPS

TEXT = PAGE.read_text(encoding="utf-8")


def test_what_was_typed_is_what_makes_the_page() -> None:
    typed = re.findall(r"^```console\n\$ (.*?)\n```", TEXT, re.DOTALL | re.MULTILINE)
    assert typed == [command for step in STEPS for command in step.commands], (
        "renew the page: python -m tests.docs.loop"
    )


def test_every_command_ended_well_and_two_models_are_compared() -> None:
    assert "exit code" not in TEXT and "Traceback" not in TEXT
    compared = TEXT.partition("## Compare")[2]
    assert "| refusals-only |" in compared and "| with-answers |" in compared
    assert "minimum detectable effect" in compared
