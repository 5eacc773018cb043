"""Decisions as arithmetic and state machines over (event, now). No async, no I/O, no clock, no lock, no chance."""
