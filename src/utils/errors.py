"""The error that a user can fix."""


class UserError(Exception):
    """An error that the user can fix. The message says what is wrong, where, and how to fix it."""
