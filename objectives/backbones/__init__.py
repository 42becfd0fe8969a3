"""Networks with readable blocks, behind one interface."""
