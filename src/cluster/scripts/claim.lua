-- A call is placed, or claimed again, if its two are in no other and nobody else has it. Of a node that was taken for dead, a call that is
-- not there any more was taken over, and has ended.
-- KEYS: call, the caller's line, the callee's, the calls of the node. ARGV: prefix, call, node, caller, callee, state, 1 if again.
local home = redis.call('hget', KEYS[1], 'home')
if home and home ~= ARGV[3] then
  return {'lost'}
end
if ARGV[7] == '1' and not home and redis.call('exists', ARGV[1] .. 'buried:' .. ARGV[3]) == 1 then
  return {'over'}
end
for line = 2, 3 do
  local other = redis.call('get', KEYS[line])
  if other and other ~= ARGV[2] then
    local of = redis.call('hmget', ARGV[1] .. 'call:' .. other, 'home', 'caller', 'callee')
    if of[1] == ARGV[3] then
      -- Of the node's own, which knows that it is over: a Redis that has taken over from another did not hear of it.
      for user = 2, 3 do
        if redis.call('get', ARGV[1] .. 'line:' .. of[user]) == other then
          redis.call('del', ARGV[1] .. 'line:' .. of[user])
        end
      end
      redis.call('del', ARGV[1] .. 'call:' .. other)
      redis.call('srem', KEYS[4], other)
    elseif of[1] then
      return {'taken', other, of[1], of[2], of[3]}
    end
  end
end
redis.call('hset', KEYS[1], 'home', ARGV[3], 'caller', ARGV[4], 'callee', ARGV[5], 'state', ARGV[6])
redis.call('set', KEYS[2], ARGV[2])
redis.call('set', KEYS[3], ARGV[2])
redis.call('sadd', KEYS[4], ARGV[2])
return {'yours'}
