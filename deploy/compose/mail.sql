-- The tables that deploy/compose/holdfast.yaml asks, with a few rows to try.
CREATE TABLE domain (domain VARCHAR(255) PRIMARY KEY);
INSERT INTO domain VALUES ('example.com');
CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT NOT NULL);
INSERT INTO alias VALUES ('info@example.com', 'ann@example.net, bob@example.net'), ('postmaster@example.com', 'ann@example.net');
CREATE TABLE relay_domain (domain VARCHAR(255) PRIMARY KEY);
INSERT INTO relay_domain VALUES ('example.net');
CREATE TABLE relay_recipient (address VARCHAR(255) PRIMARY KEY);
INSERT INTO relay_recipient VALUES ('ann@example.net'), ('bob@example.net');
CREATE TABLE transport (pattern VARCHAR(255) PRIMARY KEY, nexthop VARCHAR(255) NOT NULL);
INSERT INTO transport VALUES ('example.net', 'discard:');
