-- Two senders of an authority, information and alerts: a STOP to one says nothing of the other.
-- '' is everything on the channel.
ALTER TABLE suppression ADD COLUMN stream text NOT NULL DEFAULT '' CHECK (stream IN ('', 'information', 'alerts'));
ALTER TABLE suppression DROP CONSTRAINT suppression_pkey;
ALTER TABLE suppression ADD PRIMARY KEY (authority_id, channel, address, stream);

-- Several gateways: a reference now begins with the gateway's name, and those there are came from the only one.
UPDATE provider_reference SET reference = 'main:' || reference WHERE channel = 'sms';
UPDATE receipt SET reference = 'main:' || reference WHERE channel = 'sms' AND reference IS NOT NULL;
