"""The dataset card of a mix: YAML metadata that the Hub reads, and a page that a person reads."""

from importlib.resources import files
from typing import Any

from schemas.manifest import Manifest

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def card(manifest: Manifest) -> str:
    """The README.md of a mix, without a date, so equal mixes have equal cards."""
    from huggingface_hub import DatasetCardData
    from jinja2 import Environment, StrictUndefined

    rows: Any = manifest.summary["rows"]
    data = DatasetCardData(
        language=["en"],
        pretty_name=str(manifest.recipe["name"]),
        task_categories=["text-generation"],
        size_categories=[next((name for limit, name in SIZES if rows < limit), "1M<n<10M")],
        tags=["safety", "reasoning", "sft", "lrm-curate"],
        configs=[_config("default", "data", True), _config("messages"), _config("prompt_completion")],
    )
    text = (files("curation") / "templates" / "card.md").read_text(encoding="utf-8")
    page = Environment(undefined=StrictUndefined, trim_blocks=True, autoescape=False)  # noqa: S701 - Markdown, not HTML
    return f"---\n{data.to_yaml()}\n---\n\n" + page.from_string(text).render(m=manifest, s=manifest.summary)


def _config(name: str, folder: str | None = None, default: bool = False) -> dict[str, Any]:
    config: dict[str, Any] = {"config_name": name, "data_files": f"{folder or name}/train-*.parquet"}
    return config | ({"default": True} if default else {})
