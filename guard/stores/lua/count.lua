-- Counts offences in exact sliding windows (window.lua, order.lua, which are sent before this).
--
-- KEYS     for each chunk of ARGV[1] the index of its slot and some tables (docs/redis.md);
--          with ARGV[3] one more: MessagePack { number, answer } of the last call of that host;
--          with ARGV[4] the stream of rejections before that one
-- ARGV[1]  MessagePack: { rules, chunks }
--          rule: { name of a set of jails, jail, maxretry, findtime, jail, ... }
--          chunk: { tables, bits, first generation, networks, rules, numbers of times }; where all
--          have the same rule or number it is there instead of a list; a network of rule 0 has a
--          list { rule, time, rejections, ... } in place of its number
-- ARGV[2]  the times of all networks, eight bytes each, those of a network in order of time
-- ARGV[3]  the number of this call, which goes up; one that was made is answered, not made again
-- ARGV[4]  and so on: the entries of the stream that it was made of, which are let go of with it;
--          where nobody holds any of them any more it was counted already
-- Returns  { network, which of its times, which jail of the rule, sum, ... } of what filled,
--          networks in the order of all chunks; all from 1
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

-- A field of more than 64 bytes makes Redis keep a table as one from the beginning: what it does
-- with small ones is smaller still, and looks through all of it for each field.
local about = 'What Guard counts against each network: times by the jails that hold them.'
  .. ' See docs/redis.md.'

-- In pieces, for Lua can only give so many arguments.
local MOST = 2000
local function in_pieces(command, key, list)
  for first = 1, #list, MOST do
    call(command, key, unpack(list, first, math.min(first + MOST - 1, #list)))
  end
end

local function values_of(key, networks)
  if #networks <= MOST then return call('HMGET', key, unpack(networks)) end
  local found = {}
  for first = 1, #networks, MOST do
    local some = call('HMGET', key, unpack(networks, first, math.min(first + MOST - 1, #networks)))
    for i = 1, #some do found[first + i - 1] = some[i] end
  end
  return found
end

-- What is held of each of `networks`, and in which table: the youngest that has it has all of it.
local function look_up(key_at, tables, networks)
  local held, where = {}, {}
  for t = tables, 1, -1 do
    local key = KEYS[key_at + t]
    if call('EXISTS', key) == 1 then
      local values = values_of(key, networks)
      for i = 1, #values do
        if values[i] and not where[i] then held[i], where[i] = values[i], t end
      end
    end
  end
  return held, where
end

-- The next times that are asked of: those of one network, or, of each the same number, of many.
local all_times, from = ARGV[2], 1
local function next_times(size)
  from = from + 8 * size
  return sub(all_times, from - 8 * size, from - 1)
end
local function next_of_many(size, many)
  if not size or many > 1000 then return nil end
  from = from + 8 * size * many
  return { unpack_time(string.rep('c' .. 8 * size, many), all_times, from - 8 * size * many) }
end

local function add_to(lists, t, one, other)
  local list = lists[t]
  if not list then
    list = {}
    lists[t] = list
  end
  local size = #list
  list[size + 1], list[size + 2] = one, other
end

local now = tonumber(call('TIME')[1])
local key_at = 1
for _, chunk in ipairs(asked[2]) do
  local tables, span, first_generation, networks = chunk[1], 2 ^ chunk[2], chunk[3], chunk[4]
  local many_rules, many_sizes = chunk[5], chunk[6]
  local one_rule, one_size = rules[many_rules], tonumber(many_sizes)
  local held, where = look_up(key_at, tables, networks)
  local givens = one_rule and next_of_many(one_size, #networks)
  local sets_of, gone_of = {}, {}
  for i = 1, #networks do
    place = place + 1
    local network, rule = networks[i], one_rule or rules[many_rules[i]]
    local given = givens and givens[i] or one_size or many_sizes[i]
    if rule and not givens then given = next_times(given) end
    local value, newest = changed(held[i], rule, given)
    local old, new = where[i], value and 2
    if value and (newest or tables > 3) then
      newest = newest or unpack_time('<d', given, #given - 7)
      new = floor(newest / span) - first_generation + 1
      if new < 1 then new = 1 elseif new > tables then new = tables end
    end
    if new then add_to(sets_of, new, network, value) end
    if old and old ~= new then add_to(gone_of, old, network) end
  end
  local index, seconds = KEYS[key_at], span + math.min(span, 3600) + 1
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
