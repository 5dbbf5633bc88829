"""The one exception that users see: a single line that names the setting or file at fault."""


class DDBError(Exception):
    """A mistake in the input (configuration, data, environment) that its author can mend.

    The command line prints the message without a traceback and exits with code 2; anything else is a bug in this code.
    """


class Interrupted(DDBError):
    """The run was asked to end early (`ddb.interrupt`); the same command goes on from what is there."""
