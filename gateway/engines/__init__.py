"""Model families; the only code that imports torch and its like, and only inside worker processes."""
