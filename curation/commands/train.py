"""The commands that train the project's own small models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curation.commands.options import (
    DEFAULT_CORPUS,
    CorpusOption,
    JsonOption,
    RevisionOption,
    TaughtOption,
    TeacherOption,
    listed,
)
from curation.commands.printing import answer
from curation.commands.quick import Commands

if TYPE_CHECKING:
    from annotators.embedding.model import TrainedReader
    from annotators.embedding.training import Lessons

app = Commands()
PANEL = "Train annotators"
NOTHING = "nothing is kept of an unfinished training; run the same command again"


@app.command("train-annotator", rich_help_panel=PANEL)
def train_annotator(
    out: Annotated[Path, typer.Option(help="Folder for reader.safetensors and card.json.", file_okay=False)],
    star1: Annotated[
        Path | None,
        typer.Option(help="star1.json of UCSC-VLAA/STAR-1: the traces that most labelled rows are edits of."),
    ] = None,
    real_text: Annotated[
        Path | None, typer.Option(help="Folder of further labelled rows (JSONL).", file_okay=False)
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(help="Encoder to fine-tune in place of MiniLM's first layers.", file_okay=False),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help='Comma-separated: "people" and annotators without versions. Adapts the shipped annotator to the labels that they gave in the corpus.'
        ),
    ] = None,
    keep_weights: Annotated[
        bool,
        typer.Option(
            help="Keep the shipped weights, and learn the decisions from the labelled rows that these have not seen."
        ),
    ] = False,
    corpus: CorpusOption = DEFAULT_CORPUS,
    json: JsonOption = False,
) -> None:
    """Train the embedding annotator: on the labelled set, as the shipped one was (three quarters of an hour of one core with bfloat16 units, two hours without), or on a corpus's own labels (--labels).

    Examples:

        curate train-annotator --star1 star1.json --real-text real_text --out my-annotator

        curate train-annotator --keep-weights --star1 star1.json --real-text real_text --out my-annotator

        curate train-annotator --corpus corpus --labels people,judge:gpt-oss --out my-annotator
    """
    if encoder and (labels or keep_weights):
        raise typer.BadParameter(
            "--labels and --keep-weights go on from the shipped encoder; leave out --encoder",
            param_hint="--encoder",
        )
    if keep_weights and (labels or not star1):
        raise typer.BadParameter("it needs --star1, and goes without --labels", param_hint="--keep-weights")
    if labels:
        from curation.annotate import learn

        answer(learn.learn(corpus, listed(labels) or [], out), json, learn.show)
        return
    from curation import console

    model = _decided_anew(star1, real_text) if keep_weights and star1 else _trained(star1, real_text, encoder)
    model.save(out)
    if json:
        console.result(model.card.model_dump_json(indent=2))
        return
    console.result(
        f"{out}: the weights learned from {model.card.examples} traces; on rows that were held out:"
    )
    for annotator, patterns in model.card.held_out.items():
        for name, found in patterns.items():
            console.result(
                f"  {annotator:10} {name:26} P {found.precision:.2f}  R {found.recall:.2f}  F1 {found.f1:.2f}  AUC {found.auc:.2f}"
            )
        console.result(f"  {annotator:10} untouched traces flagged: {model.card.false_alarms[annotator]:.1%}")


def _trained(star1: Path | None, real_text: Path | None, encoder: Path | None) -> "TrainedReader":
    from annotators.embedding.learning import Schedule
    from annotators.embedding.training import length, train
    from curation import console

    lessons, schedule = _gathered(star1, real_text), Schedule()
    with console.progress("train", total=length(lessons, schedule), unit="steps", keeps=NOTHING) as advance:
        return train(lessons, schedule, encoder, advance)


def _decided_anew(star1: Path, real_text: Path | None) -> "TrainedReader":
    from annotators.embedding.model import open_model
    from annotators.embedding.training import redecided

    return redecided(open_model(), _gathered(star1, real_text))


def _gathered(star1: Path | None, real_text: Path | None) -> "Lessons":
    from annotators.embedding.training import gather
    from curation import console

    lessons = gather(star1, real_text)
    for reason, rows in lessons.skipped.items():
        console.say(f"{rows} labelled rows skipped: {reason}")
    return lessons


@app.command(rich_help_panel=PANEL)
def decide(
    out: Annotated[Path, typer.Option(help="JSONL file for the decisions.", dir_okay=False)],
    corpus: CorpusOption = DEFAULT_CORPUS,
    teacher: TeacherOption = "refusals",
    where: TaughtOption = "true",
    classifier: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a classifier whose probabilities replace the decisions.", file_okay=False
        ),
    ] = None,
) -> None:
    """Write a safer teacher's decision for each prompt, for PreSafe's auxiliary head (`presafe:` in recipes of `sft run`).

    Examples:

        curate decide --where "sampling like '%zero%'" --out decisions.jsonl

        curate decide --teacher kind --classifier classifier --out decisions.jsonl
    """
    from curation import console
    from curation.annotate import decisions

    decided = decisions.decide(corpus, teacher, where)
    if classifier:
        decided = decisions.smooth(decided, classifier)
    console.say_counts("decide", decisions.write(decided, out))
    console.say(", ".join(f"{n} {name}" for name, n in decisions.tally(decided).items()))


@app.command(rich_help_panel=PANEL)
def spans(
    out: Annotated[Path, typer.Option(help="JSONL file for the spans.", dir_okay=False)],
    patterns: Annotated[
        str | None,
        typer.Option(help="Comma-separated; the risky patterns by default."),
    ] = None,
    corpus: CorpusOption = DEFAULT_CORPUS,
) -> None:
    """Write where patterns show in traces, for weights of tokens in training (`token_weights:` in recipes of `sft run`).

    Examples:

        curate spans --out risky.jsonl

        curate spans --patterns safety_awareness,alt_assessed --out assessed.jsonl
    """
    from curation import console
    from curation.annotate import spans as stage
    from schemas.patterns import RISKY_PATTERNS

    written = stage.write(corpus, listed(patterns) or RISKY_PATTERNS, out)
    console.say_counts("spans", written.counts)
    console.say(f"{written.spans} spans in {written.traces} traces")


@app.command("train-classifier", rich_help_panel=PANEL)
def train_classifier(
    out: Annotated[Path, typer.Option(help="A new folder for the classifier.", file_okay=False)],
    corpus: CorpusOption = DEFAULT_CORPUS,
    teacher: TeacherOption = "refusals",
    where: TaughtOption = "true",
    epochs: Annotated[int, typer.Option(min=1)] = 3,
    seed: Annotated[int, typer.Option(help="Of the split, the weights and the order.")] = 0,
    base: Annotated[
        str | None,
        typer.Option(help="Base model (BERT): a folder or a hub name; by default all-MiniLM-L6-v2."),
    ] = None,
    revision: RevisionOption = None,
    json: JsonOption = False,
) -> None:
    """Fine-tune a small BERT to a teacher's decisions on prompts, calibrated; families of similar prompts stay on one side of the split.

    Example: curate train-classifier --teacher kind --out classifier
    """
    from annotators.safety_classifier import training
    from annotators.safety_classifier.model import Decided
    from curation import console
    from curation.annotate import decisions

    decided = [Decided(one.text, one.refused) for one in decisions.decide(corpus, teacher, where)]
    with console.progress("train", unit="steps", keeps=NOTHING) as advance:
        card = training.train(decided, f"{teacher}: {where}", out, epochs, seed, advance, base, revision)
    if json:
        console.json_result(card)
        return
    test = card.test
    console.result(
        f"{out}: on {test.prompts} prompts of unseen families AUROC {test.auroc:.3f}, calibration error {test.ece:.3f} "
        f"({card.before_calibration.ece:.3f} before), accuracy {test.accuracy:.3f}"
    )


@app.command("train-refusals", rich_help_panel=PANEL)
def train_refusals(
    out: Annotated[Path, typer.Option(help="Folder for weights.safetensors and card.json.", file_okay=False)],
    json: JsonOption = False,
) -> None:
    """Train the refusal classifier on the answers written for it, as the shipped one was (a quarter of an hour of CPU, two or three without bfloat16 units).

    Example: curate train-refusals --out my-refusals
    """
    from annotators.refusals.training import train
    from curation import console

    with console.progress("train", unit="steps", keeps=NOTHING) as advance:
        card = train(out, advance=advance)
    if json:
        console.json_result(card)
        return
    unseen = card.left_out_voice
    console.result(
        f"{out}: {card.examples} answers in {len(card.voices)} voices; each judged by a model of the others, from {card.threshold} on: "
        f"precision {unseen.precision:.3f}, recall {unseen.recall:.3f}, F1 {unseen.f1:.3f}, false refusals {unseen.false_refusals:.1%}"
    )
