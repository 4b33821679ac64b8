-- Counts offences in exact sliding windows; the same function as guard/jails/window.py.
--
-- KEYS     for each chunk of ARGV[1] the index of its slot and some tables (docs/redis.md);
--          with ARGV[3] one more: MessagePack { number, answer } of the last call of that host;
--          with ARGV[4] the stream of rejections before that one
-- ARGV[1]  MessagePack: { rules, chunks }
--          rule: { name of a set of jails, jail, maxretry, findtime, jail, ... }
--          chunk: { tables, bits, first generation, networks, rules, numbers of times }; where all
--          have the same rule or number it is there instead of a list; a network of rule 0 has a
--          list { rule, time, rejections, ... } in place of its number
-- ARGV[2]  the times of all networks in order, eight bytes each, those of a network in order of time
-- ARGV[3]  the number of this call, which goes up; one that was made is answered, not made again
-- ARGV[4]  and so on: the entries of the stream that it was made of, which are let go of with it;
--          where nobody holds any of them any more it was counted already
-- Returns  { network, which of its times, which jail of the rule, sum, ... } of what filled,
--          networks in the order of all chunks; all from 1
local unpack_value, pack_value, call = cmsgpack.unpack, cmsgpack.pack, redis.call
local number = tonumber(ARGV[3])
if number then
  local good, last = pcall(unpack_value, call('GET', KEYS[#KEYS]) or '')
  if good and type(last) == 'table' and number <= last[1] then
    return number == last[1] and last[2] or {}
  end
end
local gone = 0
for first = 4, #ARGV, 1000 do
  local last = math.min(first + 999, #ARGV)
  gone = gone + call('XACK', KEYS[#KEYS - 1], 'guard', unpack(ARGV, first, last))
  call('XDEL', KEYS[#KEYS - 1], unpack(ARGV, first, last))
end
-- Another host was given these entries when this one was away, and has counted them.
if ARGV[4] and gone == 0 then return {} end

local pack_time, unpack_time = struct.pack, struct.unpack
local sub, char, byte, floor = string.sub, string.char, string.byte, math.floor
local asked = unpack_value(ARGV[1])
local all_times, from = ARGV[2], 1
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

-- How many times a section says it has: two bytes, the lower one first.
local function counted(number) return char(number % 256, floor(number / 256) % 256) end

local findtimes = {}
for i, rule in ipairs(asked[1]) do
  local least, longest = math.huge, 0
  for at = 2, #rule, 3 do
    findtimes[rule[at]] = rule[at + 2]
    least, longest = math.min(least, rule[at + 1]), math.max(longest, rule[at + 2])
  end
  jails_of(rule[1])
  local head = char(#rule[1] % 256) .. rule[1]
  rules[i] = {
    name = rule[1], jails = rule, least = least, longest = longest,
    size = #head + 2, heads = setmetatable({}, {
      __index = function(known, number)
        known[number] = head .. counted(number)
        return known[number]
      end,
    }),
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
    order[i] = char(#name % 256) .. name .. counted(#section) .. table.concat(section)
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

local function add(times, names, rule, time, rejections, which)
  local name, jails = rule.name, rule.jails
  local in_order = time >= (times[#times] or time)
  for at = 2, #jails, 3 do
    local jail, count = jails[at], 0
    if not in_order or #times + rejections >= jails[at + 1] then
      count = held_by(jail, jails[at + 2], time, times, names)
    end
    if not count then
      name = less(name, jail)
    elseif count + rejections >= jails[at + 1] then
      local answer = #full
      full[answer + 1], full[answer + 2] = place, which
      full[answer + 3], full[answer + 4] = (at + 1) / 3, count + rejections
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

-- How many of a section's times are after `oldest`; it is not asked for more than `most`.
local function after(value, first, stop, oldest, most)
  local count = 0
  while stop > first and count < most and unpack_time('<d', value, stop - 8) > oldest do
    count, stop = count + 1, stop - 8
  end
  return count
end

-- The sections of a value, { name, where its times begin, and where they end, ... }; nil when
-- something is newer than `time`, or may be out of the windows of other jails by then.
local function sections_before(value, name, time)
  local found, at, size = {}, 1, 0
  while at <= #value do
    local length = byte(value, at)
    local low, high = byte(value, at + length + 1, at + length + 2)
    local from = at + length + 3
    local stop = from + 8 * ((low or 0) + 256 * (high or 0))
    if not high or stop == from or #value < stop - 1 then return nil end
    if unpack_time('<d', value, stop - 8) > time then return nil end
    local held = sub(value, at + 1, at + length)
    local oldest = time - reach_of(held)
    if held == name then
      while from < stop and unpack_time('<d', value, from) <= oldest do from = from + 8 end
    elseif unpack_time('<d', value, from) <= oldest then
      return nil
    end
    found[size + 1], found[size + 2], found[size + 3] = held, from, stop
    size, at = size + 3, stop
  end
  return found
end

-- Whether times of this rule may fill a window beside what the sections hold.
local function may_fill(value, sections, rule, number, first)
  local jails = rule.jails
  for at = 2, #jails, 3 do
    local jail, count, missing = jails[at], number, jails[at + 1]
    for i = 1, #sections, 3 do
      if count < missing and sets[sections[i]][jail] then
        local oldest = first - jails[at + 2]
        count = count + after(value, sections[i + 1], sections[i + 2], oldest, missing - count)
      end
    end
    if count >= missing then return true end
  end
  return false
end

-- The value with newer times of a rule, of which nothing fills; nil where that is not sure.
local function appended(value, rule, given, number)
  local first, last = unpack_time('<d', given), unpack_time('<d', given, #given - 7)
  local sections = sections_before(value, rule.name, first)
  if not sections or may_fill(value, sections, rule, number, first) then return nil end
  for i = 1, #sections, 3 do
    if sections[i] == rule.name then
      local from, stop = sections[i + 1], sections[i + 2]
      local before = i > 1 and sub(value, 1, sections[i - 1] - 1) or ''
      return before .. rule.heads[(stop - from) / 8 + number] .. sub(value, from, stop - 1) .. given
        .. sub(value, stop), last
    end
  end
  return value .. rule.heads[number] .. given, last
end

-- The same: in the common case, of which nothing can fill, without a look at each. What is new may
-- come without a newest time: it is that of the call.
local function changed(value, rule, given)
  if rule then
    local number = #given / 8
    if not value then
      if number < rule.least then return rule.heads[number] .. given end
    else
      local size = rule.size
      local held = (#value - size) / 8
      if held > 0 and held == floor(held) and held + number < rule.least
        and sub(value, 1, size) == rule.heads[held] then
        local last, first = unpack_time('<d', value, #value - 7), unpack_time('<d', given)
        if last <= first and unpack_time('<d', value, size + 1) > first - rule.longest then
          return rule.heads[held + number] .. sub(value, size + 1) .. given,
            unpack_time('<d', given, #given - 7)
        end
      end
      if number < rule.least then
        local new, newest = appended(value, rule, given, number)
        if new then return new, newest end
      end
    end
  end
  return exactly(value, rule, given)
end

-- A field of more than 64 bytes makes Redis keep a table as one from the beginning: what it does with
-- small ones is smaller still, and looks through all of it for each field.
local about = 'What Guard counts against each network: times by the jails that hold them. See docs/redis.md.'

-- In pieces, for Lua can only give so many arguments.
local function in_pieces(command, key, list)
  for first = 1, #list, 2000 do
    call(command, key, unpack(list, first, math.min(first + 1999, #list)))
  end
end

local now = tonumber(call('TIME')[1])
local key_at = 1
for _, chunk in ipairs(asked[2]) do
  local tables, span, first_generation, networks = chunk[1], 2 ^ chunk[2], chunk[3], chunk[4]
  local same_rule, same_number = rules[chunk[5]], tonumber(chunk[6])
  local index, held, where = KEYS[key_at], {}, {}
  -- The youngest table that has a network has all that is known of it.
  for t = tables, 1, -1 do
    local key = KEYS[key_at + t]
    if call('EXISTS', key) == 1 then
      for first = 1, #networks, 2000 do
        local last = math.min(first + 1999, #networks)
        local values = call('HMGET', key, unpack(networks, first, last))
        for i = 1, #values do
          local value, at = values[i], first + i - 1
          if value and not held[at] then held[at], where[at] = value, t end
        end
      end
    end
  end
  local sets_of, gone_of = {}, {}
  for i, network in ipairs(networks) do
    place = place + 1
    local rule, given = same_rule or rules[chunk[5][i]], same_number or chunk[6][i]
    if rule then
      local till = from + 8 * given
      given, from = sub(all_times, from, till - 1), till
    end
    local value, newest = changed(held[i], rule, given)
    local old = where[i]
    local new = value and 2
    if value and (newest or tables > 3) then
      newest = newest or unpack_time('<d', given, #given - 7)
      new = math.max(1, math.min(tables, floor(newest / span) - first_generation + 1))
    end
    if new then
      local list = sets_of[new]
      if not list then list = {}; sets_of[new] = list end
      local size = #list
      list[size + 1], list[size + 2] = network, value
    end
    if old and old ~= new then
      local list = gone_of[old]
      if not list then list = {}; gone_of[old] = list end
      list[#list + 1] = network
    end
  end
  local seconds = span + math.min(span, 3600) + 1
  for t = 1, tables do
    local key = KEYS[key_at + t]
    if gone_of[t] then in_pieces('HDEL', key, gone_of[t]) end
    if sets_of[t] then
      if call('EXISTS', key) == 0 then call('HSET', key, 'about', about) end
      in_pieces('HSET', key, sets_of[t])
      call('EXPIRE', key, seconds)
      call('ZADD', index, now + seconds, sub(key, #index + 2))
      if call('TTL', index) < seconds then call('EXPIRE', index, seconds) end
    end
  end
  call('ZREMRANGEBYSCORE', index, '-inf', '(' .. now)
  key_at = key_at + tables + 1
end
if number then call('SET', KEYS[#KEYS], pack_value({ number, full }), 'EX', 604800) end
return full
