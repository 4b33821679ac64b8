-- What is known of exactly these networks.
--
-- KEYS     ends, strikes, struck, sources, changes, schema (docs/redis.md)
-- ARGV[1]  prefix of the claims' keys; the source follows
-- ARGV[2]  MessagePack: { network, ... }
-- Returns  for each network { strikes in JSON or "", end of the last ban or "", source, claim, ... }
local names = redis.call('SMEMBERS', KEYS[4])
local answer = {}
for i, network in ipairs(cmsgpack.unpack(ARGV[2])) do
  local row = {
    redis.call('HGET', KEYS[2], network) or '',
    redis.call('ZSCORE', KEYS[3], network) or '',
  }
  for _, source in ipairs(names) do
    local held = redis.call('HGET', ARGV[1] .. source, network)
    if held then
      row[#row + 1] = source
      row[#row + 1] = held
    end
  end
  answer[i] = row
end
return answer
