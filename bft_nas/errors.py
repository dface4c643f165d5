"""The one exception that a user's mistake raises."""


class UserError(ValueError):
    """A mistake in what the user gave: one line that names the thing and what was expected.

    The command line prints it after ``bft-nas: error:`` and exits with 2; nothing has been written by then.
    """
