-- Windows in the common cases: what is held is in order of time, and what is new is after it.
--
-- Makes    `changed`: `exactly` of window.lua, which has the other cases, several times faster

-- Lua can give no more from one call than some thousand.
local MOST_AT_ONCE = 1000

-- Of the value that is looked at: where the times of each section begin, how many there are before
-- it, and from which on all are held by each jail of the rule.
local froms, befores, cuts = {}, {}, {}

-- Fills these in: how many times and sections there are. Nil when they are not in order of time,
-- when a jail has others than the last of them, or when other jails have some.
local function look(value, rule)
  local at, size, sections, jails = 1, 0, 0, #rule.jails
  for j = 1, jails do cuts[j] = false end
  while at <= #value do
    local length = byte(value, at)
    local low, high = byte(value, at + length + 1, at + length + 2)
    local from = at + length + 3
    local has = high and rule.within[sub(value, at + 1, from - 3)]
    local held = has and low + 256 * high or 0
    if held == 0 or #value < from - 1 + 8 * held then return nil end
    local before = at > 1 and unpack_time('<d', value, at - 8)
    if before and unpack_time('<d', value, from) < before then return nil end
    for j = 1, jails do
      if has[j] then cuts[j] = cuts[j] or size + 1 elseif cuts[j] then return nil end
    end
    sections = sections + 1
    froms[sections], befores[sections] = from, size
    size, at = size + held, from + 8 * held
  end
  befores[sections + 1] = size
  for j = 1, jails do cuts[j] = cuts[j] or size + 1 end
  return size, sections
end

-- Whether so many more times from `first` on may fill a window.
local function may_fill(value, rule, size, sections, number, first)
  for j = 1, #rule.jails do
    local at = size + number - rule.most[j] + 1
    if at > size then return true end
    if at >= cuts[j] then
      local section = sections
      while befores[section] >= at do section = section - 1 end
      local time = unpack_time('<d', value, froms[section] + 8 * (at - befores[section] - 1))
      if time > first - rule.reach[j] then return true end
    end
  end
  return false
end

-- The value with more times of a rule at its end, of which the first is `first`. Nil when times of
-- its first section are out of all windows, and there are others.
local function appended(value, rule, sections, given, number, first)
  local from, longest, all = froms[1], 0, true
  local before = befores[sections] + 1
  for j = 1, #rule.jails do
    if cuts[j] == 1 and rule.reach[j] > longest then longest = rule.reach[j] end
    all = all and cuts[j] <= before
  end
  while from <= #value and unpack_time('<d', value, from) <= first - longest do
    if sections > 1 or not all then return nil end
    from = from + 8
  end
  -- The last section is not of all jails of the rule.
  if not all then return value .. rule.heads[number] .. given end
  local from = sections > 1 and froms[sections] or from
  local head = rule.heads[(#value + 1 - from) / 8 + number]
  if sections == 1 then return head .. sub(value, from) .. given end
  return sub(value, 1, from - #head - 1) .. head .. sub(value, from) .. given
end

-- Formats of so many times.
local doubles = made_by(function(number) return '<' .. string.rep('d', number) end)

-- The sections of times that are in order, but for those out of the windows of all who hold them.
local function sections_of(times, packed, rule)
  local jails, size, found = rule.jails, #packed / 8, ''
  local first = size + 1
  for j = 1, #jails do
    local from, oldest = cuts[j], times[size] - rule.reach[j]
    while from < first and times[from] <= oldest do from = from + 1 end
    if from < first then first = from end
  end
  while first <= size do
    local stop, names = size + 1, {}
    for j = 1, #jails do
      if cuts[j] <= first then names[#names + 1] = jails[j] else stop = math.min(stop, cuts[j]) end
    end
    local number = stop - first
    local head = #names == #jails and rule.heads[number]
      or head_of(table.concat(names, '+'), number)
    found = found .. head .. sub(packed, 8 * first - 7, 8 * stop - 8)
    first = stop
  end
  return found ~= '' and found or nil
end

-- The value with more times of a rule, in whose windows each is counted.
local function filled(value, rule, size, sections, given, number)
  local jails, most, reach, packed = #rule.jails, rule.most, rule.reach, given
  for section = sections, 1, -1 do
    local from = froms[section]
    local stop = from + 8 * (befores[section + 1] - befores[section])
    packed = sub(value, from, stop - 1) .. packed
  end
  local times = { unpack_time(doubles[size + number], packed) }
  for which = 1, number do
    local at = size + which
    for j = 1, jails do
      local first, oldest = at - most[j] + 1, times[at] - reach[j]
      if first >= cuts[j] and (first == at or times[first] > oldest) then
        while first > cuts[j] and times[first - 1] > oldest do first = first - 1 end
        fills(which, j, at - first + 1)
        cuts[j] = at + 1
      end
    end
  end
  return sections_of(times, packed, rule)
end

-- The new value and its newest time. What is new may come without that: it is that of the call.
local function changed(value, rule, given)
  if not rule then return exactly(value, rule, given) end
  local number = #given / 8
  if not value or value == '' then
    if number < rule.least then return rule.heads[number] .. given end
    value = ''
  end
  local first, last = unpack_time('<d', given), unpack_time('<d', given, #given - 7)
  -- The common case, without a closer look: times of the same jails, too few to fill a window.
  local held = (#value - rule.size) / 8
  if held > 0 and held == floor(held) and held + number < rule.least then
    local head, oldest = unpack_time(rule.oldest, value)
    if head == rule.heads[held] and oldest > first - rule.longest
      and unpack_time('<d', value, #value - 7) <= first then
      return rule.heads[held + number] .. sub(value, rule.size + 1) .. given, last
    end
  end
  local size, sections = look(value, rule)
  local late = size and size > 0 and unpack_time('<d', value, #value - 7) > first
  if late or not size or size + number > MOST_AT_ONCE then return exactly(value, rule, given) end
  local new = not may_fill(value, rule, size, sections, number, first)
    and appended(value, rule, sections, given, number, first)
  return new or filled(value, rule, size, sections, given, number), last
end
