"""The one exception that is meant for the user."""


class UserError(Exception):
    """Something the user can mend. The message is one line: what is wrong, where, and what to do
    next.

    Commands print it as ``error: <message>`` and exit with status 2, without a traceback.
    """
