-- An audience is found from what people subscribe to, in the order of its recipients: a street's twenty people among a
-- million in a millisecond, and a whole town page by page. For that a subscription knows whose recipient it has, and on
-- which channel; neither ever changes (recipient_page stays for the authority's own accounts).
ALTER TABLE subscription ADD COLUMN authority_id bigint, ADD COLUMN channel text;
UPDATE subscription s SET authority_id = r.authority_id, channel = r.channel FROM recipient r WHERE r.id = s.recipient_id;
ALTER TABLE subscription ALTER COLUMN authority_id SET NOT NULL, ALTER COLUMN channel SET NOT NULL;

CREATE FUNCTION subscription_of() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
    SELECT authority_id, channel INTO NEW.authority_id, NEW.channel FROM recipient WHERE id = NEW.recipient_id;
    RETURN NEW;
END $$;
CREATE TRIGGER subscription_of BEFORE INSERT ON subscription FOR EACH ROW EXECUTE FUNCTION subscription_of();

CREATE INDEX subscription_of_theme ON subscription (authority_id, channel, theme, recipient_id, area);
CREATE INDEX subscription_of_area ON subscription (authority_id, channel, theme, area, recipient_id);
