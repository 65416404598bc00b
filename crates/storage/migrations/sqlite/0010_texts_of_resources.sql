-- A resource's owner looks at its latest texts every few seconds, however many others there are.
CREATE INDEX messages_by_resource ON messages (resource, seq);
CREATE INDEX inbound_texts_by_resource ON inbound_texts (resource, seq) WHERE resource IS NOT NULL;
