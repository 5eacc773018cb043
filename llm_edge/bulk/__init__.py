"""Many calls as one job: paced, bounded, resumable."""
