"""Findings: what is unusual about images or a model, but not wrong in itself."""


class Finding(UserWarning):
    """Something that the user should look at. pytest shows it at the end, and it fails no test."""
