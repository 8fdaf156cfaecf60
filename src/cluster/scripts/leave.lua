-- A node goes on purpose. Its calls stay, for others to take over.
-- KEYS: nodes, the node's own, its inbox. ARGV: node.
redis.call('hdel', KEYS[1], ARGV[1])
redis.call('del', KEYS[2], KEYS[3])
return 1
