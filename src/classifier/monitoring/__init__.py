"""Drift: whether the predictions of the service are like those for the held-out images."""
