-- Of calls and the nodes that wrote them down last, those that nobody can write to their end: the call lives nowhere, and the node is gone.
-- Nobody can tell once Redis has forgotten the node that asks.
-- KEYS: nodes. ARGV: prefix, the node that asks, call, node, call, node ...
if redis.call('hexists', KEYS[1], ARGV[2]) == 0 then
  return false
end
local dead = {}
for at = 3, #ARGV, 2 do
  local call, node = ARGV[at], ARGV[at + 1]
  if redis.call('exists', ARGV[1] .. 'call:' .. call, ARGV[1] .. 'node:' .. node, ARGV[1] .. 'leaving:' .. node) == 0 then
    dead[#dead + 1] = call
  end
end
return dead
