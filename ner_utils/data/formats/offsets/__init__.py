"""Formats in which mentions are characters of a text, from one offset to another."""
