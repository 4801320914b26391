"""`curate validate`, `curate plan`, `curate schema`: check a recipe without writing anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curation import console
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, connect
from curation.corpus.store import Store
from curation.mix import checks, picking, summary
from curation.mix.build import decide
from curation.mix.recipe import MixRecipe
from curation.mix.sweep import Points
from curation.recipe import Loaded
from curation.review import gate
from schemas.errors import RecipeError

PLACEHOLDER = {"type": "string", "pattern": r"^\$\{\w+\}$", "description": "a value of the sweep"}


def validate(points: Points, corpus_dir: Path | None) -> None:
    """Check every point against a corpus (its columns, its annotators): all faults at once.

    Args:
        points: recipes that have been read, so their fields are right already.
        corpus_dir: null checks no SQL.

    Raises:
        RecipeError: naming every fault.
    """
    if corpus_dir is None:
        return
    connection = connect(Store(corpus_dir))
    faults: dict[str, None] = {}
    for loaded in points.values():
        faults.update(dict.fromkeys(checks.expression_faults(connection, *loaded)))
    if faults:
        raise RecipeError("\n".join(faults))


def plan(loaded: Loaded[MixRecipe], corpus_dir: Path) -> dict[str, Any]:
    """What building the mix would do: counts, quotas, the SQL that finds the traces, and what stands against it.

    Raises:
        RecipeError: for faults in SQL or columns, without which nothing can be counted.
    """
    recipe, lines = loaded
    corpus = Store(corpus_dir)
    connection = connect(corpus, policy=recipe.consensus)
    if faults := checks.expression_faults(connection, recipe, lines):
        raise RecipeError("\n".join(faults))
    tallies = decide(connection, recipe, corpus)
    splits = connection.execute(sql_file("curation.mix", "splits.sql")).fetchall()
    written = picking.written(connection, tallies)
    return {
        "name": recipe.name,
        "consensus": recipe.consensus,
        "rows": sum(tally.kept for tally in written.values()),
        "splits": dict(splits),
        "traces": summary.counts(connection).model_dump(),
        "parts": {
            name: tally._asdict() | {"sql": picking.listing_sql(recipe.parts[name], recipe)}
            for name, tally in written.items()
        },
        **agreed(connection, recipe),
        "faults": checks.wish_faults(connection, tallies, recipe, lines),
    }


def agreed(connection: Connection, recipe: MixRecipe) -> dict[str, Any]:
    """How far people agree on what the recipe's gate names; nothing without a gate."""
    if not recipe.agreement:
        return {}
    return {
        "agreement": {
            name: met._asdict() for name, met in gate.measured(connection, recipe.agreement).items()
        }
    }


def show_agreement(agreement: Mapping[str, Mapping[str, Any]]) -> None:
    """Print what the gate measured."""
    rows = [
        {
            "agreement on": name,
            "traces": f"{met['traces']} of {met['traces_wanted']}",
            "alpha": "undefined" if met["alpha"] is None else f"{met['alpha']:.2f} [{met['low']:.2f}, {met['high']:.2f}]",
            "wanted": f"{met['wanted']:.2f}",
            "gate": "closed" if met["fault"] else "open",
        }
        for name, met in agreement.items()
    ]  # fmt: skip
    console.show_rows(list(rows[0]), rows)


def show_plan(plan_of_mix: Mapping[str, Any], sql: bool) -> None:
    """Print a plan."""
    policy = "" if plan_of_mix["consensus"] == "ranked" else f" --consensus {plan_of_mix['consensus']}"
    splits = ", ".join(f"{split} {n}" for split, n in plan_of_mix["splits"].items())
    console.result(f"{plan_of_mix['name']}: {plan_of_mix['rows']} rows ({splits})")
    rows = [
        {
            "part": name, "matching traces": part["matched"], "rows": part["kept"], "different traces": part["traces"],
            "left out": ", ".join(f"{n} {reason}" for reason, n in part["filtered"].items()),
        }
        for name, part in plan_of_mix["parts"].items()
    ]  # fmt: skip
    console.show_rows(list(rows[0]), rows)
    for name, part in plan_of_mix["parts"].items():
        if part["strata"]:
            strata = [{"stratum": cell, **numbers} for cell, numbers in part["strata"].items()]
            console.result(f"part {name}:")
            console.show_rows(["stratum", "traces", "rows"], strata)
        if sql:
            console.result(
                f"/* part {name.replace('*/', '')}, for `curate sql{policy}`: matching traces; the first are taken */\n{part['sql']}"
            )
    if plan_of_mix.get("agreement"):
        show_agreement(plan_of_mix["agreement"])
    for fault in plan_of_mix["faults"]:
        console.say(f"build-mix would fail: {fault}")


def schema() -> dict[str, Any]:
    """JSON Schema of a mix recipe as it stands in a file, for editors."""
    mix_schema = _with_placeholders(MixRecipe.model_json_schema())
    required = mix_schema.pop("required")
    mix_schema["properties"] |= {
        "extends": {"type": "string", "description": "another recipe file to start from; null removes a key"},
        "sweep": {
            "type": ["object", "null"],
            "description": "axis -> values; ${axis} stands for the value, in name and description for its label",
            "additionalProperties": {
                "anyOf": [
                    {"type": "array", "minItems": 1},
                    {"type": "object", "minProperties": 1},
                    {"type": "null"},
                ]
            },
        },
    }
    mix_schema["$defs"]["Part"].pop("required")  # what a recipe extends may give it
    parts = mix_schema["properties"]["parts"]
    parts["additionalProperties"] = {"anyOf": [parts["additionalProperties"], {"type": "null"}]}
    mix_schema["properties"]["name"] = {"type": "string"}  # it may hold ${axis}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **mix_schema,
        "anyOf": [{"required": ["extends"]}, {"required": required}],
    }


def _with_placeholders(value: Any) -> Any:
    """Let every number be `${axis}` too."""
    if isinstance(value, list):
        return [_with_placeholders(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    inner = {key: _with_placeholders(part) for key, part in value.items()}
    if inner.get("type") in ("integer", "number"):
        default = {"default": inner.pop("default")} if "default" in inner else {}
        return {"anyOf": [inner, PLACEHOLDER], **default}
    return inner
