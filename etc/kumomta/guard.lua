--[==[
Guard's side of a KumoMTA policy: sends what the server refuses to Guard, refuses scanners by their
EHLO name, and turns away at connect whom Guard has banned. Each part works without the others.

Copy this file to /opt/kumomta/etc/policy/guard.lua and add to init.lua, ABOVE the queue and shaping
helpers (the first that answers for a queue has it):

  package.path = '/opt/kumomta/etc/policy/?.lua;' .. package.path
  local guard = require 'guard'

  guard.send_rejections {
    url = 'http://127.0.0.1:8026/',
    secret_file = '/opt/kumomta/etc/guard.secret',
  }
  guard.load_scanners '/opt/kumomta/etc/policy/scanners.toml'                   -- 2024.09.02 or later
  kumo.on('smtp_server_ehlo', guard.on_ehlo)                                    -- 2023.08.22 or later
  kumo.on('smtp_server_connection_accepted', guard.on_connection_accepted)      -- 2025.05.06 or later

An event of the SMTP server has one handler. Where you have one already, call guard's inside it:

  kumo.on('smtp_server_ehlo', function(domain, conn_meta)
    guard.on_ehlo(domain, conn_meta)
    -- your own rules
  end)

Rejection records exist since release 2024.06.10, batches of them since 2024.11.08; before that they go
one by one. Nothing here can stop mail: where Guard is away, records wait in their queue, and nobody is turned away.
]==]
local mod = {}
local kumo = require 'kumo'

-- 1. Rejections to Guard -----------------------------------------------------------------------

-- What log_hooks makes a queue of: NAME.log_hook. The shaping of it is in guard-shaping.toml.
mod.name = 'guard'

local function read_secret(path)
  if not path then
    return nil
  end
  local file = assert(io.open(path, 'r'), 'guard: cannot read ' .. path)
  local secret = file:read('a'):gsub('%s+$', '')
  file:close()
  return secret
end

-- Throws the KumoMTA way: a 4xx is tried again until max_age, a 5xx is given up at once.
local function post(client, options, secret, body)
  local request = client:post(options.url):header('Content-Type', 'application/json')
  if secret then
    request = request:header('Authorization', 'Bearer ' .. secret)
  end
  local response = request:body(body):send()
  local code = response:status_code()
  local told = string.format('%d %s', code, response:status_reason())
  if response:status_is_success() then
    return told
  end
  -- 400 and 413: Guard will never take this body. Anything else may be mended: a wrong secret,
  -- a proxy in between, Guard restarting.
  if code == 400 or code == 413 then
    kumo.reject(500, 'guard: ' .. told)
  end
  kumo.reject(451, 'guard: ' .. told)
end

-- The helper of releases before 2024.11.08 refuses options that it does not know, before it has done
-- anything; there, records go one by one.
local function install(hook)
  local log_hooks = require 'policy-extras.log_hooks'
  local ok, told = pcall(log_hooks.new, log_hooks, hook)
  if ok then
    return
  end
  if not tostring(told):find "unknown field '[%w_]*batch" then
    error(told, 0)
  end
  hook.batch_size, hook.min_batch_size, hook.max_batch_latency = nil, nil, nil
  log_hooks:new(hook)
end

--[==[
Sends every Rejection, and nothing else, to Guard's webhook.

  url              where Guard listens: [[source]] type = "webhook" in guard.toml
  secret_file      the same file that guard.toml names; one line
  batch_size       records in one request at most; Guard takes a JSON array
  max_batch_latency  how long the first record of a batch waits for others
  max_age          how long records wait while Guard is away, before they are dropped

The records have a queue of their own, which by itself competes with mail for nothing but memory and
spool; guard-shaping.toml bounds both. Nothing is sent for a record that this very queue produced.
]==]
function mod.send_rejections(options)
  local secret = read_secret(options.secret_file)
  install {
    name = mod.name,
    log_parameters = {
      per_record = {
        Rejection = { enable = true },
        Any = { enable = false },
      },
    },
    queue_config = {
      retry_interval = '10s',
      max_retry_interval = '2m',
      max_age = options.max_age or '6h',
    },
    batch_size = options.batch_size or 200,
    min_batch_size = options.min_batch_size or 1,
    max_batch_latency = options.max_batch_latency or '1s',
    constructor = function()
      local connection = {}
      local client = kumo.http.build_client { timeout = '20s', user_agent = 'KumoMTA guard.lua' }

      -- Releases before 2024.11.08 know no batches and call this.
      function connection:send(message)
        return post(client, options, secret, message:get_data())
      end

      function connection:send_batch(messages)
        local records = {}
        for _, message in ipairs(messages) do
          table.insert(records, message:get_data())
        end
        return post(client, options, secret, '[' .. table.concat(records, ',') .. ']')
      end

      function connection:close()
        client:close()
      end

      return connection
    end,
  }
end

-- 2. Scanners by their EHLO name ---------------------------------------------------------------

-- Lua patterns, for the whole name in lower case. Only names that no mail server has: a name can be
-- chosen freely, and one that is chosen in somebody else's likeness bans nobody but its user.
mod.scanners = {
  '^expanse$', -- Palo Alto Networks Cortex Xpanse
  '^e?xpanse%-.*',
  '^cortex%-xpanse.*',
  '^ylmf%-pc$', -- a botnet that guesses passwords, since 2013
  '^masscan$',
  '^zgrab$',
  '^nmap%.scanme%.org$', -- the default of nmap's smtp scripts
}

--[==[
Takes in the names that Guard's own listener knows: the `ehlo` expressions of etc/scanners.toml, in
which the names above are too. Call it at the top level of init.lua.
]==]
function mod.load_scanners(path)
  local expressions = {}
  for _, row in ipairs(kumo.serde.toml_load(path).scanner or {}) do
    for _, expression in ipairs(row.ehlo or {}) do
      table.insert(expressions, '(?:' .. expression .. ')')
    end
  end
  if #expressions > 0 then
    mod.listed = kumo.regex.compile('(?i)' .. table.concat(expressions, '|'))
  end
end

function mod.is_scanner(domain)
  local name = string.lower(domain or '')
  if mod.listed and mod.listed:captures(name) then
    return true
  end
  for _, pattern in ipairs(mod.scanners) do
    if name:match(pattern) then
      return true
    end
  end
  return false
end

-- The text is what filter.d/kumomta.conf and Guard know as a scanner; keep its first words.
mod.scanner_reply = '5.7.1 scanners are not served here'

function mod.on_ehlo(domain, conn_meta)
  if mod.is_scanner(domain) then
    kumo.reject(550, mod.scanner_reply)
  end
end

-- 3. Guard's bans at connect -------------------------------------------------------------------

-- The kernel does this better, and earlier. This is for hosts whose firewall Guard may not touch,
-- and for servers behind a proxy. The file has one network a line; `guard export bans --format
-- plain --every 10s FILE` keeps it.
mod.bans_file = '/var/lib/guard/bans.txt'

local function read_bans(path)
  local networks = {}
  local file = io.open(path, 'r')
  if file then
    for line in file:lines() do
      local network = line:match '^%s*([%x:.]+/?%d*)'
      if network then
        networks[network] = true
      end
    end
    file:close()
  end
  return kumo.cidr.make_map(networks)
end

-- One copy for all sessions, read again after ten seconds.
mod.bans = kumo.memoize(read_bans, { name = 'guard_bans', ttl = '10 seconds', capacity = 4 })

-- received_from is "192.0.2.1:4711" or "[2001:db8::1]:4711".
local function address_of(received_from)
  return received_from:match '^%[(.+)%]:%d+$' or received_from:match '^(.+):%d+$'
end

function mod.is_banned(received_from)
  local address = address_of(received_from or '')
  if not address then
    return false
  end
  -- Whatever goes wrong here lets the peer in.
  local ok, found = pcall(function()
    return mod.bans(mod.bans_file)[address]
  end)
  return ok and found == true
end

function mod.on_connection_accepted(conn_meta)
  if mod.is_banned(conn_meta:get_meta 'received_from') then
    -- KumoMTA logs no Rejection for 421 4.3.2, so that the banned do not fill the log.
    kumo.reject(421, '4.3.2 service not available')
  end
end

return mod
