"""The report across datasets: what the best setting of one dataset loses on another."""
