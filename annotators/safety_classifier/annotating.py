"""PreSafe's safety classifier as an annotator of prompts: would a safer teacher refuse the request?"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from annotators.base import Annotator
from annotators.safety_classifier.model import SafetyClassifier
from schemas.annotation import Annotation
from schemas.ids import bytes_id
from schemas.trace import Trace

PROPERTY = "harmful_prompt"
TOGETHER = 512


def safety_classifier(folder: Path) -> Annotator:
    """The classifier of a folder that `curate train-classifier` wrote.

    Raises:
        DataError: if there is none.
        MissingExtraError: if transformers is not installed.
    """
    classifier = SafetyClassifier.open(folder)
    name = f"safety_classifier:{bytes_id((folder / 'head.safetensors').read_bytes())[:8]}@1"

    def annotate(traces: Sequence[Trace]) -> Iterator[Annotation]:
        for start in range(0, len(traces), TOGETHER):
            some = traces[start : start + TOGETHER]
            likely = classifier.probabilities([trace.prompt for trace in some])
            for trace, probability in zip(some, likely, strict=True):
                yield Annotation(
                    trace_id=trace.trace_id,
                    pattern=PROPERTY,
                    annotator=name,
                    label=bool(probability >= 0.5),
                    score=float(probability),
                )

    return Annotator(name, (PROPERTY,), annotate)
