"""Metrics, figures and the model card."""
