"""The choice of a study's answer: candidates, successive elimination, and the cheapest of those that are tied."""
