"""Providers in the clouds: their addresses, and credentials that run out. Loads a vendor's library only to use it."""
