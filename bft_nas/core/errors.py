"""The exceptions that end a command in one line, and how names and other messages are quoted in it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches

_SPELLING: ContextVar[Callable[[str], str]] = ContextVar("spelling", default=str)


def setting(name: str) -> str:
    """The name of a setting within a message, as its reader would type it: in Python, the name itself.

    >>> setting("batch_size")
    'batch_size'
    """
    return _SPELLING.get()(name)


@contextmanager
def settings_spelled(how: Callable[[str], str]) -> Iterator[None]:
    """Meanwhile, messages have the names of settings as this function spells them.

    >>> with settings_spelled("--{}".format):
    ...     setting("flops")
    '--flops'
    """
    before = _SPELLING.set(how)
    try:
        yield
    finally:
        _SPELLING.reset(before)


def printable(text: object) -> str:
    """A text as it can be shown anywhere: line breaks, control characters and bytes that are no UTF-8 as escapes.

    Names of files hold any of them. What is to be printed as it is, a backslash included, is left alone.

    >>> printable("two\\nlines")
    'two\\\\nlines'
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


class _OneLineError(Exception):
    """Its message is printable, whatever names it quotes."""

    def __str__(self) -> str:
        return printable(super().__str__())


class UserError(_OneLineError, ValueError):
    """A mistake in what the user gave: one line that names the thing and what was expected.

    The command line prints it after ``bft-nas: error:`` and exits with 2; nothing has been written by then.
    """


class RunError(_OneLineError):
    """Something that stops a command though the user made no mistake, such as a full disk: one line that names it.

    The command line prints it after ``bft-nas: error:`` and exits with 1; what could be saved is saved.
    """


def one_line(text: object) -> str:
    """An exception or any other text, printable, without line breaks and runs of blanks.

    >>> one_line("expected a name\\n  in line 3")
    'expected a name in line 3'
    """
    return printable(" ".join(str(text).split()))


def shortened(text: str) -> str:
    """A text of any length, as a message quotes it.

    >>> shortened("7, " * 100)[-8:], len(shortened("7, " * 100))
    ('7, 7,...', 80)
    """
    return text if len(text) <= 80 else text[:77] + "..."


def near(name: str, known: Iterable[str]) -> list[str]:
    """The names that another one may have been meant for: those that begin with it, or else the one most like it.

    >>> near("trails", ["time", "trials"]), near("no-ref", ["no-timing", "no-references"]), near("colour", ["data"])
    (['trials'], ['no-references'], [])
    """
    names = list(known)
    return [each for each in names if each.startswith(name)] or get_close_matches(name, names, n=1)
