"""Which setting next, where it runs, what is kept: samplers, Ray Tune, the study database, the command line."""
