"""`curate compose`: raw queries x the user's jailbreak templates, as prompts with their query and family.

We ship no jailbreaks: the templates in `curation/generate/templates/placeholders.yaml` are harmless wrappers that show the format.
"""

from collections.abc import Iterable, Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.corpus.untrusted import prompts_where
from curation.reading import hash_files, read_text
from curation.recipe import Recipe, load_yaml
from schemas.conversation import with_last_question
from schemas.errors import RecipeError
from schemas.ids import canonical_json
from schemas.manifest import Counts, InputFile, Manifest
from schemas.prompt import prompt_id

STAGE = "compose"
QUERY = "{query}"


class ComposeRecipe(Recipe):
    """What `curate compose` may be told."""

    templates: Path | None = None
    """A YAML file of `family: text with {query}`, or a folder of text files named after their family."""
    where: str = "kind = 'harmful' and attack is null"
    """SQL condition over `prompts`: the raw queries."""
    limit: int | None = None
    """Maximum number of raw queries, sampled by the seed."""
    seed: int = 0


def compose(prompts: Iterable[Mapping[str, Any]], templates: Mapping[str, str]) -> list[dict[str, Any]]:
    """Every query inside every template, as rows of the prompts table."""
    return [_composed(prompt, family, text) for prompt in prompts for family, text in templates.items()]


def read_templates(path: Path | None) -> dict[str, str]:
    """Family -> template.

    Raises:
        RecipeError: naming every template that is not text with {query} in it.
    """
    if path is None:
        with as_file(files("curation.generate") / "templates" / "placeholders.yaml") as shipped:
            return read_templates(shipped)
    templates = _folder(path) if path.is_dir() else load_yaml(path)[0]
    if not isinstance(templates, dict) or not templates:
        raise RecipeError(f"{path}: no templates; write one `family: text with {QUERY}` per template")
    faults = [
        f"{path}: {family}: needs to be text with {QUERY} where the query goes"
        for family, text in templates.items()
        if not isinstance(text, str) or not isinstance(family, str) or QUERY not in text
    ]
    if faults:
        raise RecipeError("\n".join(faults))
    return templates


def run(corpus_dir: Path, recipe: ComposeRecipe) -> Manifest:
    """Add the composed prompts that the corpus does not have yet.

    Raises:
        RecipeError: if the templates or the condition are wrong.
        CorpusError: if the corpus is missing or cannot be written.
    """
    corpus = Store(corpus_dir)
    templates = read_templates(recipe.templates)
    prompts = prompts_where(connect(corpus), recipe.where, recipe.limit, recipe.seed)
    rows = compose(prompts, templates)
    unique = {row["prompt_id"]: row for row in rows}
    with corpus.writing("prompts"):
        have = corpus.keys("prompts")
        corpus.append_rows("prompts", [row for key, row in unique.items() if key not in have])
    counts = Counts(rows=len(rows), kept=len(unique))
    if doubled := len(rows) - len(unique):
        counts.add("filtered", "same text as another", doubled)
    settings = recipe.model_dump(mode="json", exclude={"templates"}) | {"families": templates}
    manifest = Manifest(
        stage=STAGE,
        inputs=_inputs(recipe.templates),
        recipe=settings,
        seed=recipe.seed,
        counts=counts,
        summary={"queries": len(prompts), "families": len(templates)},
    )
    corpus.write_manifest(manifest)
    return manifest


def _composed(prompt: Mapping[str, Any], family: str, template: str) -> dict[str, Any]:
    text = template.replace(QUERY, prompt["text"])
    turns, tools = with_last_question(prompt.get("turns"), text), prompt.get("tools")
    return {
        "prompt_id": prompt_id(text, turns, tools),
        "text": text,
        "turns": turns,
        "tools": tools,
        "kind": prompt["kind"],
        "source": prompt["source"],
        "category": prompt["category"],
        "attack": family,
        "source_file": prompt["source_file"],
        "source_line": prompt["source_line"],
        "source_id": prompt["source_id"],
        "extra": canonical_json({"raw_prompt_id": prompt["prompt_id"]}).decode(),
    }


def _folder(path: Path) -> dict[str, str]:
    return {file.stem: read_text(file).strip("\n") for file in _files(path)}


def _files(path: Path) -> list[Path]:
    try:
        return sorted(file for file in path.iterdir() if file.is_file())
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); check the folder") from error


def _inputs(path: Path | None) -> list[InputFile]:
    if path is None:
        return []
    paths = _files(path) if path.is_dir() else [path]
    return [InputFile(name=file.name, blake2b=hash_files([file])) for file in paths]
