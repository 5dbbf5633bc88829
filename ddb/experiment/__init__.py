"""From a configuration to the graph of stages, and from finished stages to results in pandas; searches."""
