"""Shows results, as functions of plain data: tables of numbers, figures, sentences and report pages.

Each report has a room: `study`, `screening`, `cross_dataset`, `similarity`. In each, `tables` computes, `sentences`
puts it into words, `figures` draws it, and `report` makes a page of all three. `page` holds what all pages share.
Importing this package loads no module of it.
"""
