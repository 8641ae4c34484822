"""The network: training it, storing it with its model card, and predicting with it."""
