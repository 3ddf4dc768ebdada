"""Formats in which the text is cut into tokens, each with a tag."""
