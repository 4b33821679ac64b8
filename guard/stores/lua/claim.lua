-- Adds or replaces claims, counts the strikes of jails, lets go of what has ended.
--
-- KEYS     ends, strikes, struck, sources, changes, schema (docs/redis.md)
-- ARGV[1]  prefix of the claims' keys; the source follows
-- ARGV[2]  now; ARGV[3] seconds that strikes are remembered
-- ARGV[4]  MessagePack: { { source, network, since, until or "null", reason in JSON, strikes }, ... }
--          with strikes it comes from another ledger: they are what it says, and it adds none
-- Returns  { since, strikes, ... } of each claim as it stands
--
-- Times travel as text: Lua would round what it prints.
local schema = redis.call('GET', KEYS[6])
if schema and schema ~= '1' then
  return redis.error_reply('FORMAT the ledger has format ' .. schema .. ', of another release')
end
local ends, strikes, struck, sources, changes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prefix, now, memory = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local call = redis.call

local function parts(text)
  local since, till, count = string.match(text, '^{"since":([^,]+),"until":([^,]+),"strikes":(%d+)')
  return since, tonumber(till), tonumber(count) or 0
end

-- Clocks of hosts differ by seconds: what has ended stays for a minute.
local gone = now - 60
local gone_text = string.format('%.17g', gone)
for _, member in ipairs(call('ZRANGEBYSCORE', ends, '-inf', gone_text, 'LIMIT', 0, 1000)) do
  local network, source = string.match(member, '^(%S+) (.*)$')
  local text = call('HGET', prefix .. source, network)
  if text then
    local _, till = parts(text)
    if till and till <= gone then call('HDEL', prefix .. source, network) end
  end
  call('ZREM', ends, member)
end
local before = string.format('%.17g', gone - memory)
for _, network in ipairs(call('ZRANGEBYSCORE', struck, '-inf', before, 'LIMIT', 0, 1000)) do
  call('HDEL', strikes, network)
  call('ZREM', struck, network)
end

-- What others wrote there by mistake counts as nothing.
local function counted(network)
  local fine, held = pcall(cjson.decode, call('HGET', strikes, network) or '{}')
  local counts = {}
  for source, count in pairs(fine and type(held) == 'table' and held or {}) do
    if type(source) == 'string' and tonumber(count) then counts[source] = tonumber(count) end
  end
  return counts
end

local function strike(source, network, till)
  local ended = tonumber(call('ZSCORE', struck, network) or '-inf') or -math.huge
  local counts = ended + memory > now and counted(network) or {}
  counts[source] = (counts[source] or 0) + 1
  local sum = 0
  for _, count in pairs(counts) do sum = sum + count end
  call('HSET', strikes, network, cjson.encode(counts))
  if till == 'null' then
    call('ZADD', struck, '+inf', network)
  elseif tonumber(till) > ended then
    call('ZADD', struck, till, network)
  end
  return sum
end

-- A ban that is replaced counts its strikes' age from its new end.
local function move(network, old, till)
  local ended = tonumber(call('ZSCORE', struck, network) or '-inf') or -math.huge
  local new = till == 'null' and math.huge or tonumber(till)
  if ended + memory > now and (new > ended or (new < ended and ended <= old)) then
    call('ZADD', struck, till == 'null' and '+inf' or till, network)
  end
end

local answer, networks, seen = {}, {}, {}
for _, claim in ipairs(cmsgpack.unpack(ARGV[4])) do
  local source, network, since, till, reason, brought = unpack(claim)
  local count = brought or 0
  if string.sub(source, 1, 5) == 'jail:' then
    local held = call('HGET', prefix .. source, network)
    local live = false
    if held then
      local old_since, old_till, old_count = parts(held)
      if not old_till or old_till > now then
        live, since, count = true, old_since, old_count
        move(network, old_till or math.huge, till)
      end
    end
    if not live and not brought then count = strike(source, network, till) end
  end
  call('SADD', sources, source)
  call('HSET', prefix .. source, network, '{"since":' .. since .. ',"until":' .. till ..
    ',"strikes":' .. string.format('%d', count) .. ',"reason":' .. reason .. '}')
  if till == 'null' then
    call('ZREM', ends, network .. ' ' .. source)
  else
    call('ZADD', ends, till, network .. ' ' .. source)
  end
  answer[#answer + 1] = since
  answer[#answer + 1] = count
  if not seen[network] then
    seen[network] = true
    networks[#networks + 1] = network
  end
end
call('XADD', changes, 'MAXLEN', '~', 100000, '*', 'networks', table.concat(networks, ' '))
return answer
