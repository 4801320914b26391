"""PreSafe's safety classifier."""

from annotators.safety_classifier.annotating import safety_classifier

__all__ = ["safety_classifier"]
