-- Counts offences in exact sliding windows; the same function as guard/jails/window.py.
--
-- KEYS     one hash per network: field = jail, value = times as little-endian doubles, oldest first
-- ARGV[1]  MessagePack: { { {jail, maxretry, findtime, kept}, ... },
--                         { key index, jail index, time, rejections, ... } }, indices from 1
-- Returns  { offence index, sum, ... } of the windows that filled, in order
local asked = cmsgpack.unpack(ARGV[1])
local jails, offences = asked[1], asked[2]
local width = #jails
local windows, touched, full = {}, {}, {}
local unpack_double, pack_double = struct.unpack, struct.pack

for i = 1, #offences, 4 do
  local key, jail, time, rejections = offences[i], offences[i + 1], offences[i + 2], offences[i + 3]
  local slot = key * width + jail
  local times = windows[slot]
  if not times then
    times = {}
    local packed = redis.call('HGET', KEYS[key], jails[jail][1])
    if packed then
      for at = 1, #packed, 8 do
        times[#times + 1] = unpack_double('<d', packed, at)
      end
    end
    windows[slot] = times
    touched[#touched + 1] = slot
  end
  local held = #times
  local newest = times[held] or time
  if time > newest then newest = time end
  local oldest = newest - jails[jail][3]
  if time > oldest then
    local first = 1
    while first <= held and times[first] <= oldest do first = first + 1 end
    local sum = held - first + 1 + rejections
    if sum >= jails[jail][2] then
      windows[slot] = {}
      full[#full + 1] = (i + 3) / 4
      full[#full + 1] = sum
    else
      local place = held
      while place >= first and times[place] > time do place = place - 1 end
      local kept = {}
      for at = first, place do kept[#kept + 1] = times[at] end
      for _ = 1, rejections do kept[#kept + 1] = time end
      for at = math.max(first, place + 1), held do kept[#kept + 1] = times[at] end
      windows[slot] = kept
    end
  end
end

local kept_for = {}
for _, slot in ipairs(touched) do
  local jail = (slot - 1) % width + 1
  local key = (slot - jail) / width
  local times = windows[slot]
  if #times == 0 then
    redis.call('HDEL', KEYS[key], jails[jail][1])
  else
    local packed = {}
    for at = 1, #times do packed[at] = pack_double('<d', times[at]) end
    redis.call('HSET', KEYS[key], jails[jail][1], table.concat(packed))
    kept_for[key] = math.max(kept_for[key] or 0, jails[jail][4])
  end
end
for key, kept in pairs(kept_for) do
  if redis.call('TTL', KEYS[key]) < kept then redis.call('EXPIRE', KEYS[key], kept) end
end
return full
