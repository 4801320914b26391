"""A structure from one file: the instruction, the rewriting, the checker, and ablations, by commands."""

import json
from pathlib import Path

import pytest

from annotators.structure.grammar import parse, shipped
from curation.codebook.structures import find_structure
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.generate.strategies import choose
from curation.mix.folder import read_rows
from schemas.errors import RecipeError
from tests.command_line import curate

OWN = {
    "name": "two",
    "version": 1,
    "description": "Two parts.",
    "parts": [
        {"name": "weighed", "mark": "Weighed:", "ask": "what it would do.", "body": "{{ opening }}"},
        {"name": "decided", "mark": 'De{"cided:', "ask": "what follows.", "body": "{{ conclusion }}"},
    ],
}  # fmt: skip


def test_a_mix_is_rewritten_into_a_structure_and_every_row_conforms(talking: Path) -> None:
    assert curate("annotate", "--annotators", "rules,structure:alt", cwd=talking).returncode == 0
    found = select(
        connect(Store(talking / "corpus")),
        "select count(*) as n, count_if(alt_complete) as whole from candidates",
    )
    assert found.to_pylist() == [{"n": 20, "whole": 0}]
    mix = {
        "name": "m-${form}",
        "sweep": {"form": {"alt": "structure:alt", "template": "structure:template", "less": "structure:alt without assessed"}},
        "parts": {"all": {"where": "kind = 'harmful'", "rewrite": "${form}"}},
    }  # fmt: skip
    (talking / "mix.yaml").write_text(json.dumps(mix))
    done = curate("build-mix", "mix.yaml", "--out", "mixes", cwd=talking)
    assert done.returncode == 0, done.stderr
    for name in ("alt", "template"):
        rows = read_rows(talking / "mixes" / f"m-{name}", ["reasoning"])["reasoning"].to_pylist()
        assert len(rows) == 20 and not any(parse(shipped(name), row).faults for row in rows)
        assert not any(parse(shipped(name), row).before for row in rows)
    less = read_rows(talking / "mixes" / "m-less", ["reasoning"])["reasoning"].to_pylist()
    assert all(parse(shipped("alt"), row).faults == {"assessed": "missing"} for row in less)


def test_a_structure_is_a_strategy_of_generation() -> None:
    [strategy] = choose(["structure:alt"])
    assert strategy.name == "structure-alt" and "`Assessment:`" in (strategy.system or "")
    with pytest.raises(RecipeError, match="did you mean 'alt'"):
        choose(["structure:atl"])


def test_a_file_of_ones_own_is_checked_and_stands_beside_the_recipe(talking: Path, tmp_path: Path) -> None:
    (talking / "two.yaml").write_text(json.dumps(OWN))
    with pytest.raises(RecipeError, match=r"two\.yaml:.*mark"):
        find_structure("structure:two.yaml", talking / "mix.yaml")
    OWN["parts"][1]["mark"] = 'De"cided:'  # type: ignore[index]
    (talking / "two.yaml").write_text(json.dumps(OWN))
    assert len(find_structure("structure:two.yaml", talking / "mix.yaml").parts) == 2
    with pytest.raises(RecipeError):
        find_structure("structure:../two.yaml", talking / "mix.yaml")
    mix = {"name": "two", "parts": {"all": {"where": "true", "rewrite": "structure:two.yaml"}}}
    (talking / "mix.yaml").write_text(json.dumps(mix))
    assert curate("build-mix", "mix.yaml", "--out", "two", cwd=talking).returncode == 0
    [row, *_] = read_rows(talking / "two", ["reasoning"])["reasoning"].to_pylist()
    assert row.startswith("Weighed: ") and '\nDe"cided: ' in row


def test_a_sweep_has_a_point_for_each_entry_of_a_codebook(talking: Path, book_file: Path) -> None:
    mix = {
        "name": "no-${entry}",
        "sweep": {"entry": f"codebook:{book_file.name}"},
        "parts": {"all": {"where": "coalesce(${entry}_score, 0) < 0.5"}},
    }
    (book_file.parent / "sweep.yaml").write_text(json.dumps(mix))
    listed = curate("validate", book_file.parent / "sweep.yaml", cwd=talking)
    assert listed.returncode == 0, listed.stderr
    assert "20 valid" in listed.stderr
    built = curate("build-mix", book_file.parent / "sweep.yaml", "--out", "mixes", cwd=talking)
    assert built.returncode == 0 and (talking / "mixes" / "no-tint_amber").is_dir(), built.stderr
