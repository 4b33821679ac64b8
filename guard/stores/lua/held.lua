-- What is counted against one network; drops it where asked to.
--
-- KEYS     the index of the network's slot (docs/redis.md); the tables it names are in that slot
-- ARGV[1]  network
-- ARGV[2]  1 to drop it
-- Returns  { value, ... }
local found = {}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local key = KEYS[1] .. ':' .. name
  local value = redis.call('HGET', key, ARGV[1])
  if value then found[#found + 1] = value end
  if value and ARGV[2] == '1' then redis.call('HDEL', key, ARGV[1]) end
end
return found
