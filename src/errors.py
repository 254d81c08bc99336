"""The one exception that a person is meant to read."""


class AssayError(Exception):
    """Something the user can mend. The message names the thing, the place and the mend.

    A stage that raises it ends with exit code 1 and the message, without a traceback.
    """
