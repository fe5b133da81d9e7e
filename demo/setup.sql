-- What the demo counts: a source, the rules of three event types, and a sink, in one transaction, because a
-- source must not run before its rules stand.  psql fills in :'kafka', :'topic', :'start_at' and :'redis_port'.
BEGIN;

CREATE EXTENSION topk;
CREATE SERVER kafka FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers :'kafka');
CREATE SERVER redis FOREIGN DATA WRAPPER topk_redis OPTIONS (host '127.0.0.1', port :'redis_port');

-- The generator's events are at most a few seconds out of order, so a minute may close 10 seconds after its end.
SELECT topk.create_source('demo', server => 'kafka', topic => :'topic', start_at => :'start_at',
    out_of_orderness => '10 seconds');

SELECT topk.create_rule('demo', event_type => 'page_view', item_type => 'url', item_path => 'payload.url',
    dimensions => '{"deviceType": "payload.deviceType", "pageCategory": "payload.pageCategory"}');
SELECT topk.create_rule('demo', event_type => 'product_view', item_type => 'product', item_path => 'payload.productId',
    dimensions => '{"deviceType": "payload.deviceType", "productCategory": "payload.productCategory"}');
SELECT topk.create_rule('demo', event_type => 'api_request', item_type => 'endpoint', item_path => 'payload.endpoint',
    dimensions => '{"method": "payload.method", "statusClass": "payload.statusClass"}');

SELECT topk.create_sink('demo', server => 'redis');

COMMIT;
