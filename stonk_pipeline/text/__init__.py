"""Holds what all contracts share about text: the form of answers, indicators in words, quoting text from outside."""
