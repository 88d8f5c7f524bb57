"""A judgement for people and machines: terminal, Markdown, annotations, JUnit, JSON; from the judgement alone."""
