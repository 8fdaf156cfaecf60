-- A node enters. Where no other is alive, nothing that the dead have left is worth anything: their calls are over.
-- KEYS: nodes, the node's own, its inbox. ARGV: prefix, node, milliseconds.
local prefix = ARGV[1]
-- What is sent to those who are not known to be alive makes no inbox: so each makes its own.
if redis.call('exists', KEYS[3]) == 0 then
  redis.call('xadd', KEYS[3], '*', 'new', 1)
end
local nodes = redis.call('hkeys', KEYS[1])
for _, node in ipairs(nodes) do
  if redis.call('exists', prefix .. 'node:' .. node) == 1 then
    redis.call('hset', KEYS[1], ARGV[2], 1)
    redis.call('set', KEYS[2], 1, 'px', ARGV[3])
    return 0
  end
end
for _, node in ipairs(nodes) do
  local calls = prefix .. 'calls:' .. node
  for _, call in ipairs(redis.call('smembers', calls)) do
    local key = prefix .. 'call:' .. call
    for _, user in ipairs(redis.call('hmget', key, 'caller', 'callee')) do
      if user then
        redis.call('del', prefix .. 'line:' .. user)
      end
    end
    redis.call('del', key)
  end
  redis.call('del', calls, prefix .. 'inbox:' .. node)
end
redis.call('del', KEYS[1])
redis.call('hset', KEYS[1], ARGV[2], 1)
redis.call('set', KEYS[2], 1, 'px', ARGV[3])
return #nodes
