"""Between HTTP and weights: queues, processes, time; knows no model library and no HTTP."""
