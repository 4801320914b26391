"""Template slots: rewrites a trace's reasoning into another form by rule; prompt and answer are unchanged.

The forms are Jinja files in `curation/mix/rewrites` (or the user's own) with these slots: `prompt`, `category`, `kind`, `answer`,
`reasoning`, `sentences` (those of the reasoning in which the rules see no risky pattern), `opening` (the first of them),
`recognition` (the first that sees a problem; "" if none does), `conclusion` (the last that decides to refuse, else the last)
and `refuses` (whether one does). What a form omits is missing in the row, never in the corpus.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from annotators.structure.grammar import form as compiled
from curation.codebook.structures import find_structure, is_structure
from curation.mix import filling
from curation.reading import read_text
from curation.trust import beside
from schemas.annotation import Annotation
from schemas.errors import RecipeError
from schemas.patterns import RISKY_PATTERNS
from schemas.trace import Trace

MAX_BYTES = 100_000
SECONDS = 300
"""For all rows of a part."""
Rewrite = Callable[[Sequence[dict[str, Any]]], list[str]]
"""The new reasoning of each row."""


def rewriter(form: str, recipe: Path) -> Rewrite:
    """The rewriting of a form.

    Args:
        form: `short`, `template`, `structure:NAME`, or the path of a template file beside the recipe.
        recipe: the file that asks for it.

    Raises:
        RecipeError: if there is no such form, or the file is no template.
    """
    template = _template(form, recipe)

    def rewrite(rows: Sequence[dict[str, Any]]) -> list[str]:
        try:
            return _filled(template, [slots(row) for row in rows])
        except RecipeError as error:
            raise RecipeError(f"{form}: cannot be filled in ({error}); correct the template") from error

    return rewrite


def _filled(template: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    """The texts, made by a child of little memory and time: a template is a program."""
    work = json.dumps({"template": template, "rows": rows})
    command = [sys.executable, "-m", filling.__name__]
    try:
        done = subprocess.run(
            command, input=work, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RecipeError(f"it takes more than {SECONDS} seconds") from error
    answer = (
        json.loads(done.stdout) if done.returncode == 0 else {"error": "it takes too much time or memory"}
    )
    if "error" in answer:
        raise RecipeError(answer["error"])
    return list(answer["texts"])


def shipped_forms() -> tuple[str, ...]:
    """The forms that come with the package."""
    folder = Path(str(files("curation.mix") / "rewrites"))
    return tuple(path.stem for path in sorted(folder.glob("*.jinja")))


def slots(row: dict[str, Any]) -> dict[str, Any]:
    """What a form may hold of a row with prompt, reasoning, answer, kind and category."""
    evidence = _evidence(row)
    reasoning: str = row["reasoning"]
    risky = [span for pattern in RISKY_PATTERNS for span in evidence.get(pattern, ())]
    spans = [span for span in _sentences(reasoning) if not any(_meet(span, other) for other in risky)]

    def pick(pattern: str) -> list[str]:
        marked = evidence.get(pattern, ())
        return [reasoning[slice(*span)] for span in spans if any(_meet(span, other) for other in marked)]

    sentences = [reasoning[slice(*span)] for span in spans]
    recognitions, refusals = pick("safety_awareness"), pick("reasoning_refusal")
    return {
        **{name: row[name] for name in ("prompt", "category", "kind", "answer", "reasoning")},
        "sentences": sentences,
        "opening": (sentences or [""])[0],
        "recognition": (recognitions or [""])[0],
        "conclusion": (refusals or sentences or [""])[-1],
        "refuses": bool(refusals),
    }


def _template(form: str, recipe: Path) -> str:
    from jinja2 import TemplateSyntaxError
    from jinja2.sandbox import SandboxedEnvironment

    shipped = shipped_forms()
    ours = Path(str(files("curation.mix") / "rewrites" / f"{form}.jinja"))
    if is_structure(form):
        return compiled(find_structure(form, recipe))
    path = ours if form in shipped else beside(recipe, form)
    if not path.exists():
        raise RecipeError(
            f"no form {form!r}; shipped: {', '.join(shipped)}; structure:NAME; or a template file beside the recipe"
        )
    text = read_text(path, most=MAX_BYTES)
    try:
        SandboxedEnvironment(autoescape=True).parse(text)
    except TemplateSyntaxError as error:
        raise RecipeError(f"{path}:{error.lineno}: not a Jinja template: {error.message}") from error
    except RecursionError as error:
        raise RecipeError(f"{path}: not a Jinja template: nested too deeply") from error
    return text


def _evidence(row: dict[str, Any]) -> dict[str, list[tuple[int, int]]]:
    """Where the rules see each pattern in the reasoning."""
    from annotators.rules import annotator

    trace = Trace(
        trace_id="", prompt_id="", **{name: row[name] for name in ("prompt", "reasoning", "answer", "kind")}
    )
    return {
        annotation.pattern: [(span.start, span.end) for span in annotation.spans if span.field == "reasoning"]
        for annotation in annotator().annotate([trace])
        if isinstance(annotation, Annotation) and annotation.label
    }


def _sentences(text: str) -> list[tuple[int, int]]:
    """Offsets of the sentences in code points."""
    from annotators.sentences import split

    data = text.encode("utf-8")
    sentences = split(data)
    pairs: Iterable[tuple[int, int]] = zip(sentences.starts, sentences.ends, strict=True)
    return [(len(data[:start].decode("utf-8")), len(data[:end].decode("utf-8"))) for start, end in pairs]


def _meet(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]
