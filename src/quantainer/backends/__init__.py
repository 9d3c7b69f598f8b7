"""Floor 2: what executes circuits, one module per family behind one small interface."""
