"""The progress that an operation shows, in percent of the step under way."""

MOST = 99.0
"""The most that is shown before the operation has succeeded: 100 % means that all is done."""


class Progress:
    """Never falls within one attempt of one step.

    For example exo reports 40 %, then nothing while the runners connect, then 35 % as another node reports: 40 % is
    shown throughout. When exo's second attempt begins, it is None until that attempt is measured.
    """

    def __init__(self) -> None:
        self._measured: tuple[str, int] | None = None
        """The step and the attempt that the last measured value is of."""

    def shown(self, step: str, attempt: int, percent: float | None, *, before: float | None) -> float | None:
        """What is to be shown, given what was shown `before`. `percent` is None where nothing can be measured."""
        if percent is not None:
            measured = min(percent, MOST)
            value = max(before or 0.0, measured) if self._measured == (step, attempt) else measured
            self._measured = (step, attempt)
            return value
        if self._measured is not None and self._measured[0] == step and self._measured[1] != attempt:
            # A new attempt begins from nothing.
            return None
        return before
