"""What llm_edge costs per call, beside the bare SDK and its peers: `python -m benchmarks --help`."""
