"""Wire to envelope and back, as pure functions, one file a dialect. Does no I/O and reads no clock."""
