"""Features of a frozen, pretrained encoder: what sources of signals and small classifiers can see instead of pixels.

`encoders`: networks and their weights; `table`: the Parquet form.
"""
