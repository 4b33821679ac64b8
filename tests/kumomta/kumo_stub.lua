--[==[
KumoMTA's `kumo` and its log_hooks helper, as far as guard.lua uses them. Requests go out for real,
by curl; what a kumod would do with events is asked for by the test that loads this.

KUMO_STUB_DIR is a folder for the bodies of requests.
]==]
local stub = { events = {}, hooks = {}, memoized = {} }
local kumo = { http = {}, cidr = {}, serde = {}, regex = {} }

function kumo.on(name, handler)
  stub.events[name] = handler
end

-- kumo.reject raises; the text is what the test looks at.
function kumo.reject(code, text)
  error(string.format('REJECT %d %s', code, text), 0)
end

function kumo.memoize(func, params)
  assert(params.name and params.ttl and params.capacity, 'memoize needs name, ttl and capacity')
  table.insert(stub.memoized, params.name)
  local cache = {}
  return function(key)
    if cache[key] == nil then
      cache[key] = func(key)
    end
    return cache[key]
  end
end

-- Requests ------------------------------------------------------------------------------------

local counter = 0

local function written(text)
  counter = counter + 1
  local path = string.format('%s/%d', os.getenv 'KUMO_STUB_DIR', counter)
  local file = assert(io.open(path, 'w'))
  file:write(text)
  file:close()
  return path
end

function kumo.http.build_client(params)
  local client = {}
  function client:post(url)
    local request, headers, body = {}, {}, ''
    function request:header(name, value)
      table.insert(headers, string.format('header = "%s: %s"', name, value))
      return request
    end
    function request:body(data)
      body = data
      return request
    end
    function request:send()
      local config = written(table.concat({
        'silent',
        'max-time = 10',
        'output = /dev/null',
        'write-out = "%{http_code}"',
        string.format('url = "%s"', url),
        string.format('data-binary = "@%s"', written(body)),
        table.concat(headers, '\n'),
      }, '\n'))
      local pipe = assert(io.popen('curl --config ' .. config))
      local code = tonumber(pipe:read 'a')
      pipe:close()
      if code == 0 then
        error('connection failed', 0)
      end
      local response = {}
      function response:status_code()
        return code
      end
      function response:status_reason()
        return 'reason'
      end
      function response:status_is_success()
        return code >= 200 and code < 300
      end
      return response
    end
    return request
  end
  function client:close() end
  return client
end

-- TOML and expressions, by Python ---------------------------------------------------------------

-- What Python prints for a program and its arguments, which are files or single-quoted texts.
local function python(program, ...)
  local words = { os.getenv 'KUMO_STUB_PYTHON', '-c', "'" .. program .. "'" }
  for _, word in ipairs { ... } do
    table.insert(words, "'" .. written(word) .. "'")
  end
  local pipe = assert(io.popen(table.concat(words, ' ')))
  local out = pipe:read 'a'
  assert(pipe:close())
  return out
end

function kumo.serde.toml_load(path)
  local lua = python([[
import sys, tomllib
def lua(x):
    if isinstance(x, dict):
        return "{" + ",".join(f"[{lua(k)}]={lua(v)}" for k, v in x.items()) + "}"
    if isinstance(x, list):
        return "{" + ",".join(map(lua, x)) + "}"
    text = "".join(f"\\{byte:03d}" for byte in str(x).encode())
    return chr(34) + text + chr(34)
print("return " + lua(tomllib.load(open(open(sys.argv[1]).read(), "rb"))))]], path)
  return assert(load(lua))()
end

function kumo.regex.compile(pattern)
  local regex = {}
  function regex:captures(text)
    local found = python([[
import re, sys
pattern, text = (open(name).read() for name in sys.argv[1:])
print(bool(re.search(pattern, text)))]], pattern, text)
    return found:match 'True' and {} or nil
  end
  return regex
end

-- Networks ------------------------------------------------------------------------------------

local function bits_of(address)
  local bits = {}
  local function add(value, width)
    for i = width - 1, 0, -1 do
      table.insert(bits, (value >> i) & 1)
    end
  end
  if not address:find ':' then
    for part in address:gmatch '%d+' do
      add(tonumber(part), 8)
    end
    assert(#bits == 32, address)
    return bits
  end
  local head, tail = address:match '^(.-)::(.*)$'
  local groups, after = {}, {}
  for part in (head or address):gmatch '%x+' do
    table.insert(groups, part)
  end
  for part in (tail or ''):gmatch '%x+' do
    table.insert(after, part)
  end
  while #groups + #after < 8 do
    table.insert(groups, '0')
  end
  for _, list in ipairs { groups, after } do
    for _, part in ipairs(list) do
      add(tonumber(part, 16), 16)
    end
  end
  assert(#bits == 128, address)
  return bits
end

function kumo.cidr.make_map(networks)
  local known = {}
  for network, value in pairs(networks) do
    local address, length = network:match '^([^/]+)/?(%d*)$'
    local bits = bits_of(address)
    table.insert(known, { bits = bits, length = tonumber(length) or #bits, value = value })
  end
  return setmetatable({}, {
    __index = function(_, address)
      local bits = bits_of(address)
      for _, entry in ipairs(known) do
        local same = #bits == #entry.bits
        for i = 1, entry.length do
          same = same and bits[i] == entry.bits[i]
        end
        if same then
          return entry.value
        end
      end
    end,
  })
end

package.loaded['kumo'] = kumo
package.loaded['policy-extras.log_hooks'] = {
  new = function(_, options)
    for field in pairs(options) do
      -- As the helper's typed record does it, in releases that know the record and no batches.
      if stub.helper_fields and not stub.helper_fields[field] then
        error(string.format("LogHookOptions: unknown field '%s'", field))
      end
    end
    stub.hooks[options.name] = options
  end,
}

function stub.message(record)
  return {
    get_data = function()
      return record
    end,
  }
end

return stub
