"""Signals: what each real image's loss and predicted class say about the shortcut; one file for each source."""
