"""Network weights: which exist, where they lie, what each needs."""
