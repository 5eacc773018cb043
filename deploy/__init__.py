"""What one sets up around llm_edge. `python -m deploy` writes the dashboards and the alert rules anew."""
