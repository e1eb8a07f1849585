"""The direction contract: prices, headlines and facts in; up or down, how far, how sure, and why out."""
