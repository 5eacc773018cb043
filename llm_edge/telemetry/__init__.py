"""What leaves the house about its calls: metrics and spans. It never holds a call up, and names no content."""
