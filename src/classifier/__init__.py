"""The image classifier: configuration, data, model, evaluation, serving, reporting and the sample dataset."""
