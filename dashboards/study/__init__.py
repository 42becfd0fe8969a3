"""The report of one study: tables of numbers, sentences, figures and the page."""
