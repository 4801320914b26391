"""Renders a model's chat template in a child of little memory and time (`curation.engines.template_child`).

One child renders for the whole process; 100,000 rows take some 15 seconds of processor time, two thirds of it the template's own.
"""

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from schemas.errors import EngineError

RESERVED = frozenset(
    {"chat_template", "messages", "conversations", "tools", "documents", "add_generation_prompt", "continue_final_message",
     "return_assistant_tokens_mask", "tokenize", "strftime_now", "raise_exception", "bos_token", "eos_token", "pad_token", "unk_token"}
)  # fmt: skip
"""Names that are given to a template by other means."""


def check_template_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, if a template can be given them: names that no other thing has, values of JSON.

    Raises:
        ValueError: naming the one that cannot be.
    """
    for name in settings:
        if not name.isidentifier() or name in RESERVED:
            raise ValueError(
                f"{name} is no setting of a chat template; name one that it reads, such as enable_thinking"
            )
    try:
        json.dumps(settings, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"values must be texts, numbers, true, false, null, lists or maps of these ({error})"
        ) from error
    return settings


TemplateSettings = Annotated[dict[str, Any], AfterValidator(check_template_settings)]
"""What a chat template is given by name (`chat_template_kwargs`), as vLLM's servers take it."""
SECONDS = 15.0
"""For one conversation."""
SECONDS_TO_START = 120.0
LONGEST_LINE = 130_000_000
"""Bytes of one answer of the child."""


class TemplateFault(EngineError):
    """A chat template that fails by itself, or on a conversation."""


def render_template(
    tokenizer: Any,
    messages: Sequence[Mapping[str, Any]],
    add_generation_prompt: bool = True,
    tools: Sequence[Mapping[str, Any]] | None = None,
    day: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> str:
    """The text of a conversation, as `tokenizer.apply_chat_template` gives it.

    Args:
        tokenizer: of transformers, with a chat template.
        messages: the conversation.
        add_generation_prompt: whether the assistant's turn is opened.
        tools: in OpenAI's form.
        day: the date that the template is told (ISO 8601); today's by default.
        settings: what it is given by name, such as enable_thinking; see `TemplateSettings`.

    Raises:
        TemplateFault: if the template fails, or takes too much time or memory; names its file and line.
        EngineError: if the program that renders it cannot be started.
    """
    try:
        template = tokenizer.get_chat_template(tools=tools)
    except ValueError as error:  # several templates and none named default, or none at all
        raise TemplateFault(f"{_place(tokenizer)}: no chat template to use: {str(error)[:200]}") from error
    request = {
        "template": template,
        "messages": list(messages),
        "tools": tools or None,
        "day": day,
        "add_generation_prompt": add_generation_prompt,
        "special_tokens": {name: str(token) for name, token in _special_tokens(tokenizer).items()},
        "settings": dict(settings or {}),
    }
    answer = _child(os.getpid()).ask(request)
    if "error" in answer:
        raise TemplateFault(f"{_place(tokenizer)}: the chat template fails: {answer['error']}")
    return str(answer["text"])


class TemplateChild:
    """The child; it is started when it is first asked, and again after it had to be killed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()

    def ask(self, request: Mapping[str, Any]) -> dict[str, str]:
        """The child's answer to one request: `text`, or `error`."""
        with self._turn:
            process = self._running()
            try:
                process.stdin.write(json.dumps(request).encode() + b"\n")  # type: ignore[union-attr]
                process.stdin.flush()  # type: ignore[union-attr]
                return dict(json.loads(_line(process, SECONDS)))
            except (OSError, ValueError):
                self._stop()
                return {"error": f"it takes more than {SECONDS:g} seconds or too much memory"}
            except BaseException:
                self._stop()  # an answer that nobody reads would be taken for that to the next request
                raise

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", "curation.engines.template_child"]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            try:
                _line(self._process, SECONDS_TO_START)
            except OSError as error:
                self._stop()
                raise EngineError(
                    f"the program that renders chat templates cannot be started ({error}); "
                    "if other programs keep the machine busy, run the command again"
                ) from error
        return self._process

    def _stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None


@cache
def _child(_process_id: int) -> TemplateChild:
    """One for each process: a forked one must not read the answers of another."""
    return TemplateChild()


def _line(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """One line of the child; raises OSError if it ends, takes too long or writes too much."""
    assert process.stdout
    deadline, line = time.monotonic() + seconds, bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError("no answer in time")
            data = os.read(process.stdout.fileno(), 2**20)
            if not data or len(line) > LONGEST_LINE:
                raise ConnectionError("it ended")
            line += data
    return bytes(line)


def _special_tokens(tokenizer: Any) -> dict[str, Any]:
    return dict(tokenizer.special_tokens_map)


def _place(tokenizer: Any) -> str:
    """The file that holds the template."""
    folder = Path(str(tokenizer.name_or_path or "the tokenizer"))
    names = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")
    return str(next((folder / name for name in names if (folder / name).is_file()), folder))
