"""One small adapter per simulation engine behind one interface (:mod:`.simulator`)."""
