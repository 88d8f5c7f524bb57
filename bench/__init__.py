"""What is done with implementations, in the order in which a case lives: declared, checked, timed, kept, judged."""
