-- Counts offences in exact sliding windows; the same function as guard/jails/window.py.
--
-- KEYS     one string per network: MessagePack { jail = { times, oldest first } }; with ARGV[2]
--          one more: MessagePack { number, answer } of the last call of that host; with ARGV[3]
--          the stream of rejections before that one
-- ARGV[1]  MessagePack: { { {jail, maxretry, findtime, kept}, ... },
--                         { key index, jail index, time, rejections, ... } }, indices from 1
-- ARGV[2]  the number of this call, which goes up; one that was made is answered, not made again
-- ARGV[3]  and so on: the entries of the stream that it was made of, which are let go of with it;
--          where nobody holds any of them any more it was counted already
-- Returns  { offence index, sum, ... } of the windows that filled, in order
local unpack_value, pack_value, call = cmsgpack.unpack, cmsgpack.pack, redis.call
local number = tonumber(ARGV[2])
if number then
  local good, last = pcall(unpack_value, call('GET', KEYS[#KEYS]) or '')
  if good and type(last) == 'table' and number <= last[1] then
    return number == last[1] and last[2] or {}
  end
end
local gone = 0
for first = 3, #ARGV, 1000 do
  local last = math.min(first + 999, #ARGV)
  gone = gone + call('XACK', KEYS[#KEYS - 1], 'guard', unpack(ARGV, first, last))
  call('XDEL', KEYS[#KEYS - 1], unpack(ARGV, first, last))
end
-- Another host was given these entries when this one was away, and has counted them.
if ARGV[3] and gone == 0 then return {} end
local asked = unpack_value(ARGV[1])
local jails, offences = asked[1], asked[2]
local names, limits, spans, kept = {}, {}, {}, {}
for i, jail in ipairs(jails) do
  names[i], limits[i], spans[i], kept[jail[1]] = jail[1], jail[2], jail[3], jail[4]
end
local records, full = {}, {}

for i = 1, #offences, 4 do
  local key, jail, time, rejections = offences[i], offences[i + 1], offences[i + 2], offences[i + 3]
  local record = records[key]
  if not record then
    local value = call('GET', KEYS[key])
    -- What somebody else wrote there counts as nothing.
    local good, found = pcall(unpack_value, value or '')
    record = value and good and type(found) == 'table' and found or {}
    records[key] = record
  end
  local name = names[jail]
  local times = record[name]
  if type(times) ~= 'table' then times = {} end
  local held = #times
  local newest = times[held] or time
  if time > newest then newest = time end
  local oldest = newest - spans[jail]
  if time > oldest then
    local first = 1
    while first <= held and times[first] <= oldest do first = first + 1 end
    local sum = held - first + 1 + rejections
    if sum >= limits[jail] then
      record[name] = nil
      full[#full + 1] = (i + 3) / 4
      full[#full + 1] = sum
    elseif first == 1 and time == newest then
      for at = held + 1, held + rejections do times[at] = time end
      record[name] = times
    else
      local left = {}
      local place = held
      while place >= first and times[place] > time do place = place - 1 end
      for at = first, place do left[#left + 1] = times[at] end
      for _ = 1, rejections do left[#left + 1] = time end
      for at = math.max(first, place + 1), held do left[#left + 1] = times[at] end
      record[name] = left
    end
  end
end

for key, record in pairs(records) do
  local seconds, unknown = 0, false
  for name in pairs(record) do
    local own = kept[name]
    if not own then
      unknown = true
    elseif own > seconds then
      seconds = own
    end
  end
  -- A jail that the caller does not run keeps the time that its own counter gave it.
  if unknown then seconds = math.max(seconds, call('TTL', KEYS[key])) end
  if seconds > 0 then
    call('SET', KEYS[key], pack_value(record), 'EX', seconds)
  else
    call('DEL', KEYS[key])
  end
end
if number then call('SET', KEYS[#KEYS], pack_value({ number, full }), 'EX', 604800) end
return full
