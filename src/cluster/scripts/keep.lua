-- A call has changed, on the node that has it.
-- KEYS: call. ARGV: node, state.
local home = redis.call('hget', KEYS[1], 'home')
if home == ARGV[1] then
  redis.call('hset', KEYS[1], 'state', ARGV[2])
  return 1
end
return home and 0 or 2
