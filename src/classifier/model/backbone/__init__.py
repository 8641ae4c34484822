"""The pretrained backbone: its weights, its network, and the features that it computes."""
