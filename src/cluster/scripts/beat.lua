-- A node is alive. Tells whether it was known before, whether it was taken for dead, and of every node whether it is alive.
-- KEYS: nodes, the node's own, its inbox, what tells it that it was taken for dead. ARGV: prefix, node, milliseconds.
local known = redis.call('hexists', KEYS[1], ARGV[2])
redis.call('hset', KEYS[1], ARGV[2], 1)
redis.call('set', KEYS[2], 1, 'px', ARGV[3])
-- What is sent to those who are not known to be alive makes no inbox: so each makes its own. One of a node that was gone would vanish.
if redis.call('exists', KEYS[3]) == 0 then
  redis.call('xadd', KEYS[3], '*', 'new', 1)
end
redis.call('persist', KEYS[3])
local answer = {known, redis.call('exists', KEYS[4])}
for _, node in ipairs(redis.call('hkeys', KEYS[1])) do
  answer[#answer + 1] = node
  answer[#answer + 1] = redis.call('exists', ARGV[1] .. 'node:' .. node)
end
return answer
