"""
Text of strangers, on its way to a log, a terminal, or a page.
"""

from __future__ import annotations

#: How many characters of a text are shown; what is longer ends with C{...}.
MAX_SHOWN = 512

_QUOTES = {'"': '\\"', "\\": "\\\\"}


def printable(text: str, limit: int = MAX_SHOWN) -> str:
    """
    Return a text that shows nothing but printable characters, on one line, and ends no quotation.

    Control characters, line ends, characters that change the direction of writing, and others that Unicode does not
    call printable are shown as C{\\x1b}, C{\\u202e} or C{\\U000e0001}; quotation marks and backslashes as C{\\"} and
    C{\\\\}.

    @param limit: how many characters of the text to show.
    """
    shown = "".join(_shown(character) for character in text[:limit])
    return shown if len(text) <= limit else shown + "..."


def _shown(character: str) -> str:
    if character in _QUOTES:
        return _QUOTES[character]
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def escaped(text: str, limit: int = MAX_SHOWN) -> str:
    """
    Return a text on one line of printable characters, for where no quotation marks stand around it. To do so again
    changes nothing.

    @param limit: how many characters of the text to show.
    """
    kept = text if len(text) <= limit else text[:limit] + "..."
    if kept.isprintable():
        return kept
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in kept)
