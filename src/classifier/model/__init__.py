"""The network: training it, storing it, and predicting with it."""
