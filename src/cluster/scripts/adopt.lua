-- A call of a node that is gone is taken over, by the first that asks.
-- KEYS: call, the calls of the node that is gone, those of the one that asks. ARGV: call, the node that is gone, the one that asks.
local home = redis.call('hget', KEYS[1], 'home')
if home ~= ARGV[2] then
  redis.call('srem', KEYS[2], ARGV[1])
end
if home == ARGV[3] then
  return {'yours', redis.call('hget', KEYS[1], 'state')}
end
if home ~= ARGV[2] then
  return {home and 'taken' or 'gone'}
end
redis.call('hset', KEYS[1], 'home', ARGV[3])
redis.call('srem', KEYS[2], ARGV[1])
redis.call('sadd', KEYS[3], ARGV[1])
return {'yours', redis.call('hget', KEYS[1], 'state')}
