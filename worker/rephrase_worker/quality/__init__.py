"""Quality: what can be said of outputs from their text alone, for rates. Nothing here drops a row."""
