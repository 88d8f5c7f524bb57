"""What people read, from records alone: HTML, terminal, tables."""
