"""What is written for other people and programs? Folders of models, reports, archives for other editors."""
