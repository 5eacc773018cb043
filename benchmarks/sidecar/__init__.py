"""The sidecar under load, beside what it stands on and other gateways. `python -m benchmarks.sidecar`"""
