"""How do models and results travel? Folders for the hub, archives for other editors."""
