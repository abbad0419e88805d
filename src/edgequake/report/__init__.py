"""Reports: runs and measurements as one self-contained HTML page, measurements as Markdown tables."""
