"""`gateway doctor`: looks for what keeps a gateway from serving well, and says how to mend it."""
