-- Exact sliding windows; the same function as guard/jails/window.py. Here whatever is held, and in
-- whatever order what is new comes, entry by entry; in order.lua the common cases.
--
-- ARGV[1]  MessagePack: { rules, ... } as in count.lua
-- Makes    `asked`, which is ARGV[1]; `rules`; `full`, to which `fills` adds what filled, of the
--          network `place`; and `exactly`
local unpack_value, pack_value, call = cmsgpack.unpack, cmsgpack.pack, redis.call
local pack_time, unpack_time = struct.pack, struct.unpack
local sub, char, byte, floor = string.sub, string.char, string.byte, math.floor
local asked = unpack_value(ARGV[1])
local rules, full, place = {}, {}, 0

-- Sets of jails by name, and what is left of one without a jail.
local sets, without = {}, {}
local function jails_of(name)
  local found = sets[name]
  if not found then
    found = {}
    for jail in string.gmatch(name, '[^+]+') do found[jail] = true end
    sets[name], without[name] = found, {}
  end
  return found
end
local function less(name, jail)
  jails_of(name)
  local left = without[name][jail]
  if not left then
    local rest = {}
    for other in string.gmatch(name, '[^+]+') do
      if other ~= jail then rest[#rest + 1] = other end
    end
    left = table.concat(rest, '+')
    jails_of(left)
    without[name][jail] = left
  end
  return left
end

-- What says of a section whose it is, and that it has so many times; the lower byte first.
local function head_of(name, number)
  return char(#name % 256) .. name .. char(number % 256, floor(number / 256) % 256)
end

-- A table whose values are made when they are first asked for.
local function made_by(make)
  return setmetatable({}, { __index = function(known, key)
    known[key] = make(key)
    return known[key]
  end })
end

-- For each of `names` whether it is in a set of jails; false when the set has others as well.
local function within(names, set)
  local found, left = {}, 0
  for _ in pairs(jails_of(set)) do left = left + 1 end
  for j, name in ipairs(names) do
    found[j] = sets[set][name] or false
    left = left - (found[j] and 1 or 0)
  end
  return left == 0 and found
end

local findtimes = {}
for i, given in ipairs(asked[1]) do
  local name, names, most, reach = given[1], {}, {}, {}
  for at = 2, #given, 3 do
    local j = #names + 1
    names[j], most[j], reach[j] = given[at], given[at + 1], given[at + 2]
    findtimes[names[j]] = reach[j]
  end
  jails_of(name)
  rules[i] = {
    name = name, jails = names, most = most, reach = reach, least = math.min(unpack(most)),
    size = #name + 3, longest = math.max(unpack(reach)), oldest = '<c' .. #name + 3 .. 'd',
    heads = made_by(function(number) return head_of(name, number) end),
    within = made_by(function(set) return within(names, set) end),
  }
end

-- A value is sections of { length of name, name, number of times, times }: here in order of time.
local function read(value)
  local times, names, at = {}, {}, 1
  while at <= #value do
    local length = byte(value, at)
    local low, high = byte(value, at + length + 1, at + length + 2)
    local first = at + length + 3
    -- What somebody else wrote there counts as nothing.
    if not high or #value < first - 1 + 8 * (low + 256 * high) then return {}, {} end
    local name = sub(value, at + 1, at + length)
    jails_of(name)
    local size = #times
    for _ = 1, low + 256 * high do
      local time = unpack_time('<d', value, first)
      local after = #times
      while size > 0 and after > 0 and times[after] > time do
        times[after + 1], names[after + 1] = times[after], names[after]
        after = after - 1
      end
      times[after + 1], names[after + 1] = time, name
      first = first + 8
    end
    at = first
  end
  return times, names
end

local function write(times, names)
  local sections, order = {}, {}
  for i = 1, #times do
    local name = names[i]
    local section = sections[name]
    if not section then
      section = {}
      sections[name], order[#order + 1] = section, name
    end
    section[#section + 1] = pack_time('<d', times[i])
  end
  for i, name in ipairs(order) do
    local section = sections[name]
    order[i] = head_of(name, #section) .. table.concat(section)
  end
  return table.concat(order)
end

-- Whether the window of a jail takes a time, and how many it then has of those before.
local function held_by(jail, findtime, time, times, names)
  local oldest, count
  for i = #times, 1, -1 do
    if sets[names[i]][jail] then
      if not oldest then
        oldest, count = math.max(times[i], time) - findtime, 0
        if time <= oldest then return nil end
      end
      if times[i] <= oldest then break end
      count = count + 1
    end
  end
  return count or 0
end

-- Notes that the window of the jail `j` of a rule filled with so many.
local function fills(which, j, sum)
  local size = #full
  full[size + 1], full[size + 2], full[size + 3], full[size + 4] = place, which, j, sum
end

local function add(times, names, rule, time, rejections, which)
  local name = rule.name
  local in_order = time >= (times[#times] or time)
  for j, jail in ipairs(rule.jails) do
    local count = 0
    if not in_order or #times + rejections >= rule.most[j] then
      count = held_by(jail, rule.reach[j], time, times, names)
    end
    if not count then
      name = less(name, jail)
    elseif count + rejections >= rule.most[j] then
      fills(which, j, count + rejections)
      name = less(name, jail)
      local left = 0
      for i = 1, #times do
        local rest = less(names[i], jail)
        if rest ~= '' then
          left = left + 1
          times[left], names[left] = times[i], rest
        end
      end
      for i = #times, left + 1, -1 do times[i], names[i] = nil, nil end
    end
  end
  if name == '' then return end
  for _ = 1, rejections do
    local after = #times
    while after > 0 and times[after] > time do
      times[after + 1], names[after + 1] = times[after], names[after]
      after = after - 1
    end
    times[after + 1], names[after + 1] = time, name
  end
end

-- The longest window of a set of jails.
local longest = {}
local function reach_of(name)
  local reach = longest[name]
  if not reach then
    reach = 0
    for jail in pairs(jails_of(name)) do reach = math.max(reach, findtimes[jail] or math.huge) end
    longest[name] = reach
  end
  return reach
end

-- Lets go of what is out of the windows of all jails that hold it.
local function trim(times, names)
  local all, last = true, times[#times]
  for i = 1, #times do all = all and times[i] > last - reach_of(names[i]) end
  if all then return end
  local newest, left = {}, 0
  for i = 1, #times do
    for jail in pairs(sets[names[i]]) do newest[jail] = times[i] end
  end
  for i = 1, #times do
    local keep = false
    for jail in pairs(sets[names[i]]) do
      keep = keep or times[i] > newest[jail] - (findtimes[jail] or math.huge)
    end
    if keep then
      left = left + 1
      times[left], names[left] = times[i], names[i]
    end
  end
  for i = #times, left + 1, -1 do times[i], names[i] = nil, nil end
end

-- The new value and its newest time, entry by entry; whatever was held, and in whatever order.
local function exactly(value, rule, given)
  local times, names = read(value or '')
  if rule then
    for which = 1, #given / 8 do
      add(times, names, rule, unpack_time('<d', given, 8 * which - 7), 1, which)
    end
  else
    for at = 1, #given, 3 do
      add(times, names, rules[given[at]], given[at + 1], given[at + 2], (at + 2) / 3)
    end
  end
  trim(times, names)
  if #times == 0 then return nil end
  return write(times, names), times[#times]
end
