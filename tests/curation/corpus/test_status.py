from curation.corpus import status
from curation.corpus.store import Store


def test_status_counts_what_is_there(filled: Store) -> None:
    found = status.read(filled.root)
    assert {name: counts["rows"] for name, counts in found.tables.items()}["traces"] == 80
    assert found.kinds == [{"kind": "harmful", "prompts": 60}, {"kind": "math", "prompts": 20}]
    assert found.strategies == [
        {"strategy": "default", "traces": 50},
        {"strategy": "improved", "traces": 30},
    ]
    weak = next(row for row in found.verdicts if row["pattern"] == "weak_vacillation")
    assert (weak["present"], weak["absent"], weak["abstained"]) == (10, 70, 0)
    assert found.annotators == [{"annotator": "rules@1", "traces": 80, "present": 10, "abstained": 0}]
    counts = [
        value for row in (weak, found.annotators[0]) for value in row.values() if not isinstance(value, str)
    ]
    assert {type(value) for value in counts} == {int}  # as --json prints it


def test_status_of_an_empty_corpus_is_all_zero(corpus: Store) -> None:
    found = status.read(corpus.root)
    assert all(counts["rows"] == counts["parts"] == 0 for counts in found.tables.values())


def test_status_prints_each_table(filled: Store, capsys) -> None:
    status.show(status.read(filled.root))
    printed = capsys.readouterr().out
    assert all(
        name in printed for name in ("prompts", "traces", "annotations", "improved", "weak_vacillation")
    )
