-- The dispatcher walks from authority to authority and from order to order, and reads of each no more than it can
-- dispatch: what else waits costs it nothing.
CREATE INDEX batch_turns ON batch (family, lane, authority_id, order_id, id) WHERE state = 'waiting';
