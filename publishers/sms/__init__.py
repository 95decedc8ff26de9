"""SMS: the channel, which chooses among gateways, and the gateways that speak HTTP."""
