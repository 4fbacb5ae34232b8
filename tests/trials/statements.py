"""What the message of an operation states about each model, read sentence by sentence."""

import re
from dataclasses import dataclass, field

_MODEL = r"test/[\w-]+"
_MODELS = rf"(?P<models>{_MODEL}(?:(?:, | and |, and ){_MODEL})*)"
_READY = re.compile(
    rf"{_MODELS} (?:(?:is|are) )?(?:(?:still|also|again|already) )?(?:ready|loaded|serving|running|restored)\b"
    r"(?! before| by)"
)
_GONE = re.compile(rf"{_MODELS} (?:(?:is|are|was|were|has been|have been) )?(?:unloaded|removed|gone)\b(?! before| by)")
_AS_BEFORE = re.compile(r"cluster is as (?:it was )?before|[Nn]othing (?:was|has been) (?:changed|touched)")
_TAKEN_BACK = re.compile(r"(?:is|are|was|were) removed again|taken back")
_LACKING = re.compile(
    r"missing|lost|gone|lack|delet|remov|vanish|disappear|crash|fail|dead|died|gave up|given up|unreachable"
    r"|(?:not|cannot|can't|could not|couldn't|no longer|never|nothing|without)\b.*"
    r"(?:be restored|restored|loaded|ready|running|served|serving|return|placed|left)"
    r"|no longer|(?:is|are) (?:\w+ )?(?:loading|starting|warming|downloading|waiting|on (?:its|their) way)"
)
_CANNOT_BE = re.compile(rf"{_MODELS} (?:could not be restored|cannot be restored|is missing|are missing|is not loaded)")
_OTHERS = re.compile(
    r"somebody|someone|another|others?\b|cop(?:y|ies)|remain|stay|still (?:loaded|listed|there)"
    r"|(?:loaded|placed) (?:again|anew|since|meanwhile)|new instance|not ours|left"
)


@dataclass(slots=True)
class Statements:
    """Sets of models, by what is stated about them."""

    ready: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    lacking: set[str] = field(default_factory=set)
    """Stated in any words: these are missing, have failed, or are loading."""
    missing: set[str] = field(default_factory=set)
    """Stated explicitly: these are not loaded now."""
    others: set[str] = field(default_factory=set)
    """Stated: another client has loaded these, or an instance of them is left."""
    as_before: bool = False
    taken_back: bool = False


def read(message: str) -> Statements:
    """The statements of a message."""
    statements = Statements()
    statements.as_before = bool(_AS_BEFORE.search(message))
    statements.taken_back = bool(_TAKEN_BACK.search(message))
    for sentence in re.split(r"(?<=[.!?;])\s+", message):
        named = set(re.findall(_MODEL, sentence))
        if not named:
            continue
        for match in _READY.finditer(sentence):
            before = sentence[: match.start()].lower()
            if not re.search(r"(?:instance|copy|copies|placement|runner|weights) of $|wait\w* (?:for|until) $", before):
                statements.ready |= _named(match)
        for match in _GONE.finditer(sentence):
            if not re.search(r"(?:instance|copy|copies|runner) of $", sentence[: match.start()]):
                statements.gone |= _named(match)
        for match in _CANNOT_BE.finditer(sentence):
            statements.missing |= _named(match)
        if _LACKING.search(sentence):
            statements.lacking |= named
        if _OTHERS.search(sentence):
            statements.others |= named
    statements.ready -= statements.missing
    return statements


def _named(match: re.Match[str]) -> set[str]:
    return set(re.findall(_MODEL, match["models"]))
