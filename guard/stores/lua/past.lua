-- What is known of exactly these networks.
--
-- KEYS     ends, strikes, struck, sources, changes, schema (docs/redis.md)
-- ARGV[1]  prefix of the claims' keys; the source follows
-- ARGV[2]  MessagePack: { network, ... }, at most some thousands: Lua can give no more arguments
-- Returns  { strikes in JSON or nil, ... }, { end of the last ban or nil, ... } in the order of the
--          networks, and for each source its name and { claim or nil, ... }
local networks = cmsgpack.unpack(ARGV[2])
local answer = {
  redis.call('HMGET', KEYS[2], unpack(networks)),
  redis.call('ZMSCORE', KEYS[3], unpack(networks)),
}
for _, source in ipairs(redis.call('SMEMBERS', KEYS[4])) do
  answer[#answer + 1] = source
  answer[#answer + 1] = redis.call('HMGET', ARGV[1] .. source, unpack(networks))
end
return answer
