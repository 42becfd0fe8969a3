"""What was found, as functions of plain results: tables of numbers, figures drawn from them, pages to read.

`summaries` computes, `sentences` says it in words, `figures` draws it, `report` makes one HTML file of all three,
and `optuna_dashboard` shows it beside the trials. Each is imported by name; importing this package loads none.
"""
