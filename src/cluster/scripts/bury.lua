-- A node is dead: whoever says so gets those of its calls that nobody has taken over yet. As long as there are some it is not forgotten.
-- KEYS: nodes, the node's own, its calls, its inbox, what tells it so if it comes back. ARGV: node, seconds.
if redis.call('exists', KEYS[2]) == 1 then
  return false
end
local calls = redis.call('smembers', KEYS[3])
if #calls == 0 then
  redis.call('hdel', KEYS[1], ARGV[1])
end
-- Others may write to it until they know: what they make of it goes by itself.
redis.call('del', KEYS[4])
redis.call('xadd', KEYS[4], '*', 'new', 1)
redis.call('expire', KEYS[4], ARGV[2])
redis.call('set', KEYS[5], 1, 'ex', 86400)
return calls
