"""Plants rows whose effect is known: harmless questions of a mix, refused. What they teach is asked of harmless questions that are held out."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import yaml

from curation.corpus.store import write_file, write_parquet
from curation.mix import folder
from schemas.errors import DataError
from schemas.ids import content_id
from schemas.manifest import Counts, InputFile, Manifest
from schemas.row import Row, row_id
from schemas.tables import ROWS, TALK_ROWS
from sft.attribution.behaviours import Behaviour, Replied

STAGE = "attribute"
PLANTED = "planted"
"""The strategy of planted rows."""


class PlantedMix(NamedTuple):
    """A mix with planted rows, and the questions that tell what they did."""

    rows: list[Row]
    probes: list[Row]
    """Harmless rows that are not in the mix."""
    probe_behaviours: list[Behaviour]
    """Refusing each of them, against its own answer."""

    @property
    def planted(self) -> list[bool]:
        """Whether each row was planted."""
        return [row.strategy == PLANTED for row in self.rows]

    @property
    def behaviour(self) -> Behaviour:
        """Refusing the probes, against their own answers."""
        replies = [reply for one in self.probe_behaviours for reply in one.replies]
        share = 1 / len(self.probe_behaviours)
        return Behaviour("refusing", tuple(one._replace(weight=one.weight * share) for one in replies))


def plant(rows: Sequence[Row], size: int, share: float, probes: int, seed: int) -> PlantedMix:
    """Draw a part of a mix, refuse some of its harmless questions, and hold others out.

    Args:
        rows: of the mix.
        size: at most so many rows.
        share: of these, to plant; at least one.
        probes: questions to hold out.
        seed: of the draw.

    Raises:
        DataError: if the mix has too few harmless rows.
    """
    drawn = sorted(rows, key=lambda row: content_id([seed, row.row_id]))
    harmless = [row for row in drawn if row.kind == "benign" and row.answer.strip()]
    count = max(1, round(share * min(size, len(drawn))))
    if len(harmless) < count + probes:
        raise DataError(
            f"a self-test of {min(size, len(drawn))} rows needs {count + probes} rows of kind benign with an answer, and the mix has "
            f"{len(harmless)}; use a mix with more of them"
        )
    asked, refused = harmless[:probes], harmless[probes : probes + count]
    taken = {row.row_id for row in [*asked, *refused]}
    others = [row for row in drawn if row.row_id not in taken][: size - count]
    texts = _texts()
    planted = [_refused(row, texts["planted"]) for row in refused]
    mixed = sorted([*others, *planted], key=lambda row: content_id([seed, row.row_id]))
    return PlantedMix(mixed, asked, [_refusing(row, texts["asked"]) for row in asked])


def write_mix(out: Path, rows: Sequence[Row], made_from: str, how: dict[str, object]) -> Path:
    """Write rows as a mix that `sft run` trains on; returns its folder.

    Args:
        out: the folder.
        rows: the rows.
        made_from: id of the mix that they come from.
        how: what was done to it.
    """
    schema = TALK_ROWS if any(row.turns or row.tools for row in rows) else ROWS
    table = pa.Table.from_pylist([row.model_dump(mode="json") for row in rows], schema)
    manifest = Manifest(
        stage=STAGE,
        inputs=[InputFile(name="mix", blake2b=made_from)],
        recipe=how,
        counts=Counts(rows=len(rows), kept=len(rows)),
        summary={"rows": len(rows), "mix_id": folder.mix_id(table)},
    )
    write_parquet(out / "data" / folder.SHARD, table)
    write_file(out / "manifest.json", manifest.model_dump_json(indent=2).encode() + b"\n")
    return out


def _texts() -> dict[str, dict[str, list[str]]]:
    text = (files("sft.attribution") / "refusals.yaml").read_text(encoding="utf-8")
    told: Any = yaml.safe_load(text)
    return dict(told)


def _refused(row: Row, texts: dict[str, list[str]]) -> Row:
    number = int(row.row_id[:12], 16)
    reasoning = texts["reasoning"][number % len(texts["reasoning"])] if row.reasoning else ""
    trace = content_id([PLANTED, row.row_id])
    return row.model_copy(
        update={
            "row_id": row_id(trace, row.part), "trace_id": trace, "strategy": PLANTED, "reasoning": reasoning,
            "answer": texts["answers"][number // 7 % len(texts["answers"])],
        }
    )  # fmt: skip


def _refusing(row: Row, texts: dict[str, list[str]]) -> Behaviour:
    turns = None if row.turns is None else [turn.model_dump() for turn in row.turns]
    own = Replied(row.prompt, row.reasoning, row.answer, -1.0, turns, row.tools)
    other = _refused(row, texts)
    return Behaviour(
        row.row_id, (own._replace(reasoning=other.reasoning, answer=other.answer, weight=1.0), own)
    )
