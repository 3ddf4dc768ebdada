"""How does it look? LaTeX tables, figures, and output of notebooks."""
