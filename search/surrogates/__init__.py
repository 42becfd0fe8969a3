"""Models that predict the score and the cost of settings that were not tried."""
