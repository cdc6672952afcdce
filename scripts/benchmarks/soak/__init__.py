"""`scripts/bench soak`: mixed traffic for minutes on too little memory, and what became of every request."""
