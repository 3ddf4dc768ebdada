"""How are results shown? LaTeX tables, figures, and output of notebooks."""
