"""The dataset card of a mix: YAML metadata for the Hub, and a description."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotators.statistics.consensus import PEOPLE
from schemas.manifest import Manifest

if TYPE_CHECKING:
    from jinja2 import Template

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
UNKNOWN = "not stated"


def card(manifest: Manifest) -> str:
    """The README.md of a mix, without a date, so equal mixes have equal cards."""
    from huggingface_hub import DatasetCardData

    manifest = Manifest.model_validate(manifest.model_dump(mode="json"))  # as it is written: without secrets
    summary: Any = manifest.summary
    tier = summary.get("redaction", "full")
    splits = ("train", *(["validation"] if summary.get("validation_rows") else []))
    configs = [_config("default", "data", splits, default=True)]
    if tier != "ids":
        configs += [_config(name, name, splits) for name in ("messages", "prompt_completion")]
    data = DatasetCardData(
        language=["en"],
        license=_license(manifest),
        pretty_name=str(manifest.recipe["name"]),
        task_categories=["text-generation"],
        size_categories=[next((name for limit, name in SIZES if summary["rows"] < limit), "1M<n<10M")],
        tags=["safety", "reasoning", "sft", "lrm-curate"],
        configs=configs,
    )
    body = _template().render(
        m=manifest, s=summary, tier=tier, sources=list(source_lines(manifest)), limits=list(limits(manifest))
    )
    return f"---\n{data.to_yaml()}\n---\n\n{body}"


@cache
def _template() -> "Template":
    """Compiled once: a sweep writes many cards."""
    from jinja2 import Environment, StrictUndefined

    text = (files("curation.mix") / "templates" / "card.md").read_text(encoding="utf-8")
    page = Environment(undefined=StrictUndefined, trim_blocks=True, autoescape=False)  # noqa: S701 - Markdown, not HTML
    page.filters["cell"] = cell
    return page.from_string(text)


def cell(value: Any) -> str:
    """A value inside a Markdown table: names and conditions may hold what a table or a page would take for its own."""
    text = " ".join(str(value).split())
    for mark, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "'")):
        text = text.replace(mark, safe)
    return text


def source_lines(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Part, source, rows and licence of everything that is in the mix."""
    licenses: Any = manifest.recipe.get("licenses") or {}
    summary: Any = manifest.summary
    for entry in summary.get("part_sources", ()):
        source = entry["source"]
        yield entry | {"source": source or "(none)", "license": licenses.get(source, UNKNOWN)}


def limits(manifest: Manifest) -> Iterator[str]:
    """Limitations of the mix, as far as the manifest shows them."""
    summary: Any = manifest.summary
    parts: Any = manifest.recipe.get("parts", {})
    annotators = summary.get("annotators", {})
    if not annotators:
        yield "These traces are not annotated: whether they show risky patterns is unknown."
    elif not any(name.startswith(PEOPLE) for name in annotators):
        yield f"All labels are by machine annotators ({', '.join(annotators)}); no person has reviewed them."
    unknown = sorted({line["source"] for line in source_lines(manifest) if line["license"] == UNKNOWN})
    if unknown:
        yield f"The licence of these sources is not stated: {', '.join(unknown)}. Check before you redistribute the data."
    if not str(summary["tokens_counted_by"]).startswith("tokenizer"):
        yield "Token counts are estimates if no engine recorded them."
    for name, tally in summary["parts"].items():
        if parts.get(name, {}).get("rewrite"):
            yield f"The reasoning of part {name} was rewritten by rule ({Path(parts[name]['rewrite']).name}) and is not a model's output."
        if tally["kept"] > tally.get("traces", tally["kept"]):
            yield f"Part {name} repeats traces: {tally['kept']} rows of {tally['traces']} traces."
    yield "Risky patterns that no annotator detected may still be present."


def _license(manifest: Manifest) -> str:
    licenses = {line["license"] for line in source_lines(manifest)}
    return licenses.pop() if len(licenses) == 1 and UNKNOWN not in licenses else "other"


def _config(name: str, folder: str, splits: tuple[str, ...], default: bool = False) -> dict[str, Any]:
    paths = [{"split": split, "path": f"{folder}/{split}-*.parquet"} for split in splits]
    config: dict[str, Any] = {"config_name": name, "data_files": paths}
    return config | ({"default": True} if default else {})
