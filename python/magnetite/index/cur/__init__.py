"""Cross-encoder search: the best items by the slow model, for a fixed number of its calls."""
