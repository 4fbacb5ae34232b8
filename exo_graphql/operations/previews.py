"""exo's placement previews, as a pure decision reads them: fetched before, and named where one is missing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exo_graphql.cluster.upstream import PlacementPreview
from exo_graphql.operations.requests import Kind


@dataclass(frozen=True, slots=True)
class Question:
    """What exo is asked: every placement that contains these nodes, or its own choice of one `kind`."""

    model_id: str
    node_ids: tuple[str, ...] = ()
    kind: Kind | None = None
    min_nodes: int = 1


class Unasked(Exception):
    """A decision needs an answer that has not been fetched."""

    def __init__(self, question: Question) -> None:
        super().__init__(str(question))
        self.question = question


@dataclass(frozen=True, slots=True)
class Previews:
    """exo's answers so far."""

    answers: Mapping[Question, tuple[PlacementPreview, ...]] = field(default_factory=dict)

    def of(self, question: Question) -> tuple[PlacementPreview, ...]:
        """The answer to a question. Raises `Unasked` where it has not been fetched."""
        if question not in self.answers:
            raise Unasked(question)
        return self.answers[question]
