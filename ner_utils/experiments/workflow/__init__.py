"""How does a study run as a whole? Its steps, what each step runs, and what a person sees meanwhile."""
