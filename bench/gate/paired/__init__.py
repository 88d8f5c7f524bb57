"""Two sides in one command: paired trials, revisions, and the error rates of the whole."""
