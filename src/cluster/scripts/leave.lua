-- A node goes on purpose. Its calls stay, for others to take over; as long as there are some it is not forgotten.
-- KEYS: nodes, the node's own, its calls, its inbox. ARGV: node, seconds.
if redis.call('scard', KEYS[3]) == 0 then
  redis.call('hdel', KEYS[1], ARGV[1])
end
-- Others may write to its inbox until they know: what they make of it goes by itself.
redis.call('del', KEYS[2], KEYS[4])
redis.call('xadd', KEYS[4], '*', 'new', 1)
redis.call('expire', KEYS[4], ARGV[2])
return 1
