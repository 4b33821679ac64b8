-- Raises strikes and ends to at least what is given.
--
-- KEYS     strikes, struck, schema (docs/redis.md)
-- ARGV[1]  MessagePack: { { network, { source = number }, end or "+inf" }, ... }
local schema = redis.call('GET', KEYS[3])
if schema and schema ~= '1' then
  return redis.error_reply('FORMAT the ledger has format ' .. schema .. ', of another release')
end
for _, row in ipairs(cmsgpack.unpack(ARGV[1])) do
  local network, given, ended = row[1], row[2], row[3]
  -- What others wrote there by mistake counts as nothing.
  local fine, held = pcall(cjson.decode, redis.call('HGET', KEYS[1], network) or '{}')
  local counts = {}
  for source, count in pairs(fine and type(held) == 'table' and held or {}) do
    if type(source) == 'string' and tonumber(count) then counts[source] = tonumber(count) end
  end
  for source, number in pairs(given) do
    if number > (counts[source] or 0) then counts[source] = number end
  end
  redis.call('HSET', KEYS[1], network, cjson.encode(counts))
  if type(ended) == 'number' then ended = string.format('%.17g', ended) end
  redis.call('ZADD', KEYS[2], 'GT', ended, network)
end
return redis.status_reply('OK')
