"""Floor 1: read circuits, measure them, compile them for a target."""
