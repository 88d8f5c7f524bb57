"""What is compared: one file an implementation, behind one contract."""
