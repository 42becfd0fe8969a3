"""The queue: submitting a job, the worker that runs jobs, and the process of one job."""
