"""The commands that control a study and its runs."""
