"""Text in questions and answers: their form, the words for indicators, and quotes from outside."""
