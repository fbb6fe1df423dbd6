"""Encoders, fusions and the classifier that joins them."""
