"""The one exception that is meant for the user, and the words of those that are not."""


class UserError(Exception):
    """Something the user can mend. The message is one line: what is wrong, where, and what to do
    next.

    Commands print it as ``error: <message>`` and exit with status 2, without a traceback.
    """


class Busy(UserError):
    """Another process works on the same run."""


def reason_of(error: BaseException) -> str:
    """Return what an error says, without the number and path of a file's, on one line of 300
    characters at most; else its kind."""
    said = getattr(error, "strerror", None) or error
    text = " ".join(str(said).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."
