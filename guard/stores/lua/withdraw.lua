-- Ends claims.
--
-- KEYS     ends, strikes, struck, sources, changes, schema (docs/redis.md)
-- ARGV[1]  prefix of the claims' keys; the source follows
-- ARGV[2]  now
-- ARGV[3]  source, network, and so on
-- Returns  { source, network, claim in JSON, ... } of those that were there
local schema = redis.call('GET', KEYS[6])
if schema and schema ~= '1' then
  return redis.error_reply('FORMAT the ledger has format ' .. schema .. ', of another release')
end
local ends, struck, changes = KEYS[1], KEYS[3], KEYS[5]
local prefix, now = ARGV[1], tonumber(ARGV[2])
local call = redis.call
local answer, networks, seen = {}, {}, {}
for i = 3, #ARGV, 2 do
  local source, network = ARGV[i], ARGV[i + 1]
  local held = call('HGET', prefix .. source, network)
  if held then
    call('HDEL', prefix .. source, network)
    call('ZREM', ends, network .. ' ' .. source)
    if string.sub(source, 1, 5) == 'jail:' then
      local ended = call('ZSCORE', struck, network)
      -- A ban that was ended early counts its strikes' age from then.
      if ended and tonumber(ended) > now then call('ZADD', struck, ARGV[2], network) end
    end
    answer[#answer + 1] = source
    answer[#answer + 1] = network
    answer[#answer + 1] = held
    if not seen[network] then
      seen[network] = true
      networks[#networks + 1] = network
    end
  end
end
if #networks > 0 then
  call('XADD', changes, 'MAXLEN', '~', 100000, '*', 'networks', table.concat(networks, ' '))
end
return answer
