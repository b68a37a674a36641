"""Can this student search that gallery? Protocols, rates and the 2×2."""
