-- A node is dead: whoever says so gets those of its calls that nobody has taken over yet.
-- KEYS: nodes, the node's own, its calls, its inbox, what tells it so if it comes back. ARGV: node.
if redis.call('exists', KEYS[2]) == 1 then
  return false
end
redis.call('hdel', KEYS[1], ARGV[1])
redis.call('del', KEYS[4])
redis.call('set', KEYS[5], 1, 'ex', 86400)
return redis.call('smembers', KEYS[3])
