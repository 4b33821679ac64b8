-- What is counted against networks of one slot; drops it where asked to.
--
-- KEYS     the index of the slot (docs/redis.md); the tables it names are in that slot
-- ARGV[1]  1 to drop it, and answer nothing
-- ARGV[2]  network, and so on; at most some thousands: Lua can give no more arguments
-- Returns  { value, ... }
local found, networks = {}, { unpack(ARGV, 2) }
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local key = KEYS[1] .. ':' .. name
  if ARGV[1] == '1' then
    redis.call('HDEL', key, unpack(networks))
  else
    for _, value in ipairs(redis.call('HMGET', key, unpack(networks))) do
      if value then found[#found + 1] = value end
    end
  end
end
return found
