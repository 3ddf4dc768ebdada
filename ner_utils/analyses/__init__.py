"""What does a study ask of its predictions? One file for each question."""
