"""What calls cost: prices, estimates, and the log of who spent what. It refuses nobody; that is for the layers."""
