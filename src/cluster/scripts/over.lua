-- A call is over, if the node has it that says so.
-- KEYS: call, the calls of the node. ARGV: prefix, call, node.
local home = redis.call('hget', KEYS[1], 'home')
if home and home ~= ARGV[3] then
  return 0
end
for _, user in ipairs(redis.call('hmget', KEYS[1], 'caller', 'callee')) do
  local line = ARGV[1] .. 'line:' .. (user or '')
  if user and redis.call('get', line) == ARGV[2] then
    redis.call('del', line)
  end
end
redis.call('del', KEYS[1])
redis.call('srem', KEYS[2], ARGV[2])
return 1
