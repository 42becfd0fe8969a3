"""Collects what a report needs from the study database, and writes the report."""
