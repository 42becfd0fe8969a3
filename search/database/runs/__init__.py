"""Which runs are alive: their heartbeat and their lease."""
