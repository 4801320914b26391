"""The page docs/loop.md: the whole loop on a real model, from generation to a comparison of two trained models, with times and output.

python -m tests.docs.loop
"""

import os
import platform
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.docs.transcript import ROOT, Ran, Shell, minutes_of, section

PAGE = ROOT / "docs" / "loop.md"


class Step(NamedTuple):
    """A section of the page."""

    title: str
    prose: str
    commands: tuple[str, ...]
    head: int = 12
    """Lines of output that are shown of a long one, before the last four."""


STEPS = (
    Step(
        "A model and prompts",
        "Any folder with a model that transformers can open will do. Samples and evaluation prompts come with the toolkit; they are mild.",
        (
            "export OMP_NUM_THREADS=1",
            'MODEL=$(python -c "from sft.smol import model_folder; print(model_folder())")',
            "curate init loop && cd loop",
            "curate ingest data/samples.jsonl",
            "curate ingest data/eval.jsonl --corpus eval",
        ),
    ),
    Step(
        "Generate",
        "This model thinks no thoughts, so it is asked for short answers without any (`--think zero`), by a strategy of our own. Replies that are cut off are set aside.",
        (
            "cat > brief.md <<'END'\n---\nversion: 1\nsummary: One short sentence, from a model that writes no thoughts.\n"
            "instruction: system\nmodel: ordinary\n---\nAnswer in one short sentence.\nEND",
            "curate generate --model $MODEL --engine transformers --strategy-file brief.md --think zero --where \"kind = 'benign'\" --limit 20 --max-new-tokens 96",
        ),
    ),
    Step(
        "Judge",
        "The refusal classifier reads every answer, rules read the reasoning; null where there is none to judge.",
        (
            "curate annotate --annotators rules,refusals",
            'curate sql "select strategy, count(*) as traces, sum(answer_refusal::int) as refusing, sum(risky::int) as risky from candidates group by all order by all"',
        ),
    ),
    Step(
        "Two mixes",
        "The question of the demo: refusals alone, or the same refusals with answers to harmless prompts and sums beside them.",
        (
            "cat > recipes/refusals-only.yaml <<'END'\nname: refusals-only\nseed: 42\nparts:\n"
            "  refusals: {where: \"kind = 'harmful' and strategy = 'improved' and answer_refusal and not risky\", take: 20}\nEND",
            "cat > recipes/with-answers.yaml <<'END'\nname: with-answers\nextends: refusals-only.yaml\nparts:\n"
            "  answers: {where: \"strategy = 'brief' and not answer_refusal\", take: 20, on_shortage: take_all}\n"
            "  sums: {where: kind = 'math', take: 10}\nEND",
            "curate build-mix recipes/refusals-only.yaml --out mixes/refusals-only",
            "curate build-mix recipes/with-answers.yaml --out mixes/with-answers",
        ),
    ),
    Step(
        "Train",
        "A LoRA adapter for each mix, sixteen steps of four rows.",
        (
            "cat > refusals-only.yaml <<END\nmodel: $MODEL\nmix: mixes/refusals-only\nout: runs/refusals-only\nmethod: lora\n"
            "lora: {r: 8, lora_alpha: 16}\nlearning_rate: 2e-3\nwarmup_steps: 4\nmax_steps: 16\nper_device_train_batch_size: 4\n"
            "gradient_accumulation_steps: 1\nmax_length: 512\ngradient_checkpointing: false\nlogging_steps: 4\nEND",
            "sed 's/refusals-only/with-answers/' refusals-only.yaml > with-answers.yaml",
            "sft check --mix mixes/refusals-only --model $MODEL",
            "sft run refusals-only.yaml",
            "sft run with-answers.yaml",
        ),
    ),
    Step(
        "Export",
        "The adapters, merged into the model in full precision.",
        (
            "sft export runs/refusals-only --out models/refusals-only",
            "sft export runs/with-answers --out models/with-answers",
        ),
    ),
    Step(
        "Score",
        "Twelve prompts of each suite: too few to tell the models apart, which the comparison says.",
        (
            "sft score models/refusals-only --engine transformers --corpus eval --suite safety,overrefusal --limit 12 --max-new-tokens 192 --out scores/refusals-only",
            "sft score models/with-answers --engine transformers --corpus eval --suite safety,overrefusal --limit 12 --max-new-tokens 192 --out scores/with-answers",
        ),
        40,
    ),
    Step(
        "Compare",
        "Differences are paired by prompt. `compare.html` shows the same as a page.",
        ("sft compare scores/refusals-only scores/with-answers --out compare.html",),
        40,
    ),
)
WIDTH = 240


def page() -> str:
    """Run everything in a new folder, and describe it."""
    with tempfile.TemporaryDirectory(prefix="loop-") as name:
        folder = Path(name)
        shell = Shell(folder)
        shell.run(f"export PYTHONPATH='{ROOT}'")
        ran = [[shell.run(command) for command in step.commands] for step in STEPS]
        shell.close()
        parts = [
            part
            for step, done in zip(STEPS, ran, strict=True)
            for part in section(step.title, done, folder, step.prose, step.head, WIDTH)
        ]
    return "\n".join([_opening([one for done in ran for one in done]), *parts])


def _opening(ran: list[Ran]) -> str:
    minutes, processor = minutes_of(ran)
    return (
        "# The whole loop on a real model\n\n"
        "Generate, judge, mix, train, export, score, compare, on SmolLM2-135M-Instruct (Apache-2.0, from a wheel) and a CPU. `make demo` asks the same question of more\n"
        "rows and prompts; here every command is typed. A program wrote this page: `python -m tests.docs.loop`. Long output is cut in the middle.\n\n"
        f"{len(ran)} commands took {minutes:.1f} minutes ({processor:.1f} of processor time) on {os.cpu_count()} cores, of which each command used one, with Python "
        f"{platform.python_version()}; other programs used the cores as well. A model this small is no evidence about large ones.\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
