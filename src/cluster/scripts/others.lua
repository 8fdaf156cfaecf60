-- How many other nodes are alive and stay.
-- KEYS: nodes. ARGV: prefix, node.
local others = 0
for _, node in ipairs(redis.call('hkeys', KEYS[1])) do
  if node ~= ARGV[2] and redis.call('exists', ARGV[1] .. 'node:' .. node) == 1
      and redis.call('exists', ARGV[1] .. 'leaving:' .. node) == 0 then
    others = others + 1
  end
end
return others
