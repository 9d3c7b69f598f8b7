"""Floor 0: pure nouns and rules. No I/O, no clock, no threads."""
