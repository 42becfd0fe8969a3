"""How a report becomes a file: an HTML page, Markdown, LaTeX or PNG."""
