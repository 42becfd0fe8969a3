"""Report files: HTML pages, Markdown, LaTeX and PNG, and the look and figures that all reports share."""
