"""The exceptions that end a command in one line, and how other messages are quoted in it."""


class UserError(ValueError):
    """A mistake in what the user gave: one line that names the thing and what was expected.

    The command line prints it after ``bft-nas: error:`` and exits with 2; nothing has been written by then.
    """


class RunError(Exception):
    """Something that stops a command though the user made no mistake, such as a full disk: one line that names it.

    The command line prints it after ``bft-nas: error:`` and exits with 1; what could be saved is saved.
    """


def one_line(text: object) -> str:
    """An exception or any other text without line breaks and runs of blanks.

    >>> one_line("expected a name\\n  in line 3")
    'expected a name in line 3'
    """
    return " ".join(str(text).split())
