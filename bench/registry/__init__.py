"""Which implementations there are: files of `impls`, users' functions, other checkouts."""
