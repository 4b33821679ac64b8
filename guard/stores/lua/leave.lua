-- Forgets that networks joined their crowds.
--
-- KEYS     a crowd, and so on (docs/redis.md)
-- ARGV[1]  MessagePack: { { network, ... }, ... } for each of them; none is everybody
local call = redis.call
for number, networks in ipairs(cmsgpack.unpack(ARGV[1])) do
  if #networks == 0 then call('UNLINK', KEYS[number]) end
  -- Lua can give no more than some thousand arguments.
  for first = 1, #networks, 5000 do
    call('ZREM', KEYS[number], unpack(networks, first, math.min(first + 4999, #networks)))
  end
end
return redis.status_reply('OK')
