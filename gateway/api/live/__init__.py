"""Sessions over WebSocket: one module per wire protocol, on one way of listening; knows nothing of how a model runs."""
