"""What stops a launch: one line, which names what to change."""


class LaunchError(Exception):
    """The job cannot go on; the message is all that a person needs."""
