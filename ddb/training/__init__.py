"""Networks, the training loop, saved classifiers, predictions, metrics: what signals, recipes and the probe share."""
