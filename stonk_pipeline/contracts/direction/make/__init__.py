"""Makes the examples of the direction contract from bars and news, or from records."""
