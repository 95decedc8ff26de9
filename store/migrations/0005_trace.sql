-- The trace that the event came with (W3C Trace Context), so that deliveries, retries and receipts belong to it days
-- later. NULL where nobody traces: adding it rewrites no row.
ALTER TABLE delivery_order ADD COLUMN traceparent text;
