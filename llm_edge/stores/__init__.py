"""Where bytes rest between calls. Knows nothing of requests; never raises into a call."""
