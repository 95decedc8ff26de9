"""SMS over SMPP 3.4: one kind of gateway of the channel sms."""
