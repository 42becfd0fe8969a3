"""What was found, as functions of plain results: tables of numbers, figures drawn from them, pages to read.

`summaries` and `tradeoff` compute, `sentences` says it in words, `figures` draws it, `report` makes one HTML file of
all three, and `optuna_dashboard` shows it beside the trials. `screened`, `screened_sentences` and `recommendation` do
the same for what is screened before any study; `pages` is what both files share. Each is imported by name; importing
this package loads none.
"""
