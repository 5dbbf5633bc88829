"""From signals and classifiers to a verdict: is there a shortcut, and which images break it."""
