"""The generated market: bars whose best forecast is known, and headlines about them."""
