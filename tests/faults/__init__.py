"""Faults of the running system: killed processes, databases that go away, full disks. `scripts/faults`."""
