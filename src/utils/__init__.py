"""Helpers that know nothing about images or models."""
