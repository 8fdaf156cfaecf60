-- A call is over, if the node has it that says so.
-- KEYS: call, the caller's line, the callee's, the calls of the node. ARGV: call, node.
local home = redis.call('hget', KEYS[1], 'home')
if home and home ~= ARGV[2] then
  return 0
end
redis.call('del', KEYS[1])
redis.call('srem', KEYS[4], ARGV[1])
for line = 2, 3 do
  if redis.call('get', KEYS[line]) == ARGV[1] then
    redis.call('del', KEYS[line])
  end
end
return 1
