"""Networks whose blocks are read, behind one interface."""
