"""What is trained on frozen features, behind one interface."""
