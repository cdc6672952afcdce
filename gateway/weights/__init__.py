"""Where weights come from, where they are kept, what is refused; knows nothing of tasks or engines."""
