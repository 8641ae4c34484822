"""Metrics, figures and the files in evaluation/."""
