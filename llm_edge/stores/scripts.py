"""
What a shared store does in one act: the machines of `policy.rows`, written once more in Lua.

Time is the server's own. All keys of a deployment carry one hash tag, so that in a cluster they live in one slot; that
is what lets a call take its part of every row or of none. A key whose name is made here (`…:o`, `…:a`) carries it too.

Moments are microseconds. A hold leaves a record behind under its own key until it is settled or its lease is over: a
take that is sent twice is made once, and a settlement that is sent twice is too.
"""

from __future__ import annotations

_PERIODS = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local function text(number) return string.format('%.17g', number) end

local function month(day)
  day = day + 719468
  local era = math.floor(day / 146097)
  local e = day - era * 146097
  local year = math.floor((e - math.floor(e / 1460) + math.floor(e / 36524) - math.floor(e / 146096)) / 365)
  local in_year = e - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  return (era * 400 + year) * 12 + math.floor((5 * in_year + 2) / 153) + 2
end

local LENGTH = {minute = 60, hour = 3600, day = 86400}
local function period(name)
  if LENGTH[name] then return math.floor(now / 1000000 / LENGTH[name]) end
  if name == 'month' then return month(math.floor(now / 86400000000)) end
  return 0
end
local function ends_in(name)
  local length = (LENGTH[name] or 0) * 1000000
  if length > 0 then return length - now % length end
  if name == 'total' then return -1 end
  local day = math.floor(now / 86400000000)
  local last, this = day + 1, month(day)
  while month(last) == this do last = last + 1 end
  return last * 86400000000 - now
end
local function keep(key, microseconds)
  redis.call('PEXPIRE', key, math.ceil(microseconds / 1000) + 1000)
end
local function half(most, room)
  return math.max(0, math.min(most, math.floor(room / 2)))
end

-- A tally as it is now: a new period begins it anew, and what nobody settled in time is spent.
local function tally(key, name)
  local now_in = period(name)
  local f = redis.call('HMGET', key, 'p', 's', 'r', 'u')
  local p, s, r, u = tonumber(f[1] or -1), tonumber(f[2] or 0), tonumber(f[3] or 0), tonumber(f[4] or 0)
  if now_in > p then
    redis.call('DEL', key, key .. ':o', key .. ':a')
    return {p = now_in, s = 0, r = 0, u = 0}
  end
  if r > 0 then
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', key .. ':o', '-inf', text(now))) do
      local amount = tonumber(redis.call('HGET', key .. ':a', id) or 0)
      s, r, u = s + amount, r - amount, u + amount
      redis.call('ZREM', key .. ':o', id)
      redis.call('HDEL', key .. ':a', id)
    end
    if r > 0 and redis.call('EXISTS', key .. ':o') == 0 then
      s, r, u = s + r, 0, u + r  -- a store that was short of memory has forgotten who reserved it
    end
  end
  return {p = p, s = s, r = r, u = u}
end
local function put(key, name, at)
  redis.call('HSET', key, 'p', at.p, 's', text(at.s), 'r', text(at.r), 'u', text(at.u))
  if name ~= 'total' then
    for _, each in ipairs({key, key .. ':o', key .. ':a'}) do keep(each, ends_in(name) + 86400000000) end
  end
end
"""

TAKE = (
    _PERIODS
    + """
-- KEYS: the hold's record, who is alive, then each row. ARGV: id, lease, how long others count as alive, our name,
-- then for each row: kind, unit, limit, rate, window or period, what is needed, what more is welcome.
local done = redis.call('GET', KEYS[1])
if done then return cjson.decode(done) end
local id, lease = ARGV[1], tonumber(ARGV[2])
local FIELDS, rows, worst, blocker = 7, {}, 0, 0
for i = 3, #KEYS do
  local a, key = 4 + (i - 3) * FIELDS, KEYS[i]
  local row = {
    key = key, kind = ARGV[a + 1], unit = ARGV[a + 2], limit = tonumber(ARGV[a + 3]), rate = tonumber(ARGV[a + 4]),
    span = ARGV[a + 5], need = tonumber(ARGV[a + 6]), more = tonumber(ARGV[a + 7]),
  }
  local wait, room = 0, 0
  if row.kind == 'pace' then
    local full = row.limit / row.rate * 1000000
    -- A clock that was set back must not make anybody wait for longer than an empty bucket does, and a debt as large.
    local at = math.min(math.max(tonumber(redis.call('GET', key) or 0), now), now + 2 * full)
    row.at = at
    room = row.limit - (at - now) * row.rate / 1000000
    if at > now and row.need > room + 0.000001 then wait = (row.need - room) / row.rate * 1000000 end
  elseif row.kind == 'log' then
    row.window = tonumber(row.span)
    redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now - row.window))
    local over = redis.call('ZCARD', key) + row.need - row.limit
    if over > 0 then
      local first = redis.call('ZRANGE', key, over - 1, over - 1, 'WITHSCORES')
      wait = first[2] and (first[2] + row.window - now) or row.window
    end
  elseif row.kind == 'tally' then
    row.at = tally(key, row.span)
    room = row.limit - row.at.s - row.at.r
    if row.need > room then wait = ends_in(row.span) end
  else
    redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now))
    room = row.limit - redis.call('ZCARD', key)
    if row.need > room then wait = 1000000 end
  end
  if row.need > row.limit or wait < 0 then wait = -1 end
  if worst >= 0 and (wait < 0 or wait > worst) then worst, blocker = wait, i - 2 end
  row.room = room
  rows[i - 2] = row
end

redis.call('ZADD', KEYS[2], text(now + tonumber(ARGV[3])), ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', text(now))
keep(KEYS[2], tonumber(ARGV[3]))
local alive = redis.call('ZCARD', KEYS[2])
-- Rounded up: who waits exactly so long gets through.
if blocker > 0 then return {0, blocker, math.ceil(worst), alive} end

local said = {1, 0, 0, alive}
for _, row in ipairs(rows) do
  local key, more, left, reset = row.key, 0, 0, 0
  if row.kind == 'pace' then
    more = half(row.more, row.room - row.need)
    local at = row.at + (row.need + more) / row.rate * 1000000
    redis.call('SET', key, text(at), 'PX', math.ceil((at - now) / 1000) + 1000)
    left, reset = row.room - row.need - more, at - now
  elseif row.kind == 'log' then
    for i = 1, row.need do redis.call('ZADD', key, text(now), id .. ':' .. i) end
    keep(key, row.window)
    left, reset = row.limit - redis.call('ZCARD', key), row.window
  elseif row.kind == 'tally' then
    more = half(row.more, row.room - row.need)
    if row.unit == 'requests' then
      row.at.s = row.at.s + row.need + more
    else
      row.at.r = row.at.r + row.need
      redis.call('ZADD', key .. ':o', text(now + lease), id)
      redis.call('HSET', key .. ':a', id, text(row.need))
    end
    put(key, row.span, row.at)
    left, reset = row.room - row.need - more, ends_in(row.span)
  else
    more = half(row.more, row.room - row.need)
    for i = 1, row.need + more do redis.call('ZADD', key, text(now + lease), id .. ':' .. i) end
    local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
    keep(key, last[2] - now)
    left = row.room - row.need - more
  end
  said[#said + 1] = more
  said[#said + 1] = math.floor(math.max(left, 0))
  said[#said + 1] = math.ceil(reset)
end
redis.call('SET', KEYS[1], cjson.encode(said), 'PX', math.ceil(math.min(lease, 60000000) / 1000) + 1000)
return said
"""
)

SETTLE = (
    _PERIODS
    + """
-- KEYS: the record of this settlement, then each row. ARGV, for each row: kind, unit, rate, period, the id, what was
-- taken, what was used (-1: all of it).
if not redis.call('SET', KEYS[1], '1', 'NX', 'PX', 60000) then return 0 end
for i = 2, #KEYS do
  local a, key = (i - 2) * 7, KEYS[i]
  local kind, unit, id = ARGV[a + 1], ARGV[a + 2], ARGV[a + 5]
  local taken, used = tonumber(ARGV[a + 6]), tonumber(ARGV[a + 7])
  if used < 0 then used = taken end
  if kind == 'pace' then
    if used ~= taken then
      local at = tonumber(redis.call('GET', key) or 0)
      if used > taken then at = math.max(at, now) end
      at = at + (used - taken) / tonumber(ARGV[a + 3]) * 1000000
      if at > now then
        redis.call('SET', key, text(at), 'PX', math.ceil((at - now) / 1000) + 1000)
      else
        redis.call('DEL', key)
      end
    end
  elseif kind == 'places' then
    redis.call('ZREM', key, id)
  elseif kind == 'tally' then
    local name = ARGV[a + 4]
    local at = tally(key, name)
    if unit == 'requests' then
      at.s = math.max(at.s + used - taken, 0)
      put(key, name, at)
    elseif redis.call('ZREM', key .. ':o', id) == 1 then
      redis.call('HDEL', key .. ':a', id)
      at.r, at.s = at.r - taken, at.s + used
      put(key, name, at)
    end
  end
end
return 1
"""
)

CANCEL = (
    _PERIODS
    + """
-- For a take of which nobody knows whether it was made. KEYS and ARGV are the take's own. When it was made, all of it
-- is given back; when it was not, it never will be: it finds a refusal in its place.
local said = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], '[0,1,1000000,1]', 'PX', 60000)
if not said then return 0 end
said = cjson.decode(said)
if said[1] == 0 then return 0 end
local id = ARGV[1]
for i = 3, #KEYS do
  local a, key = 4 + (i - 3) * 7, KEYS[i]
  local kind, unit, rate, need = ARGV[a + 1], ARGV[a + 2], tonumber(ARGV[a + 4]), tonumber(ARGV[a + 6])
  local all = need + said[5 + (i - 3) * 3]
  if kind == 'pace' then
    local at = tonumber(redis.call('GET', key) or 0) - all / rate * 1000000
    if at > now then
      redis.call('SET', key, text(at), 'PX', math.ceil((at - now) / 1000) + 1000)
    else
      redis.call('DEL', key)
    end
  elseif kind == 'tally' then
    local name = ARGV[a + 5]
    local at = tally(key, name)
    if unit == 'requests' then
      at.s = math.max(at.s - all, 0)
    elseif redis.call('ZREM', key .. ':o', id) == 1 then
      redis.call('HDEL', key .. ':a', id)
      at.r = at.r - need
    end
    put(key, name, at)
  else
    for n = 1, all do redis.call('ZREM', key, id .. ':' .. n) end
  end
end
return 1
"""
)

ACCOUNTS = (
    _PERIODS
    + """
-- KEYS: tallies. ARGV: the period of each. Says of each what is spent, what is reserved, and what of the spent is
-- unconfirmed.
local said = {}
for i, key in ipairs(KEYS) do
  local at = {s = 0, r = 0, u = 0}
  if redis.call('EXISTS', key) == 1 then
    at = tally(key, ARGV[i])
    put(key, ARGV[i], at)
  end
  for _, amount in ipairs({at.s, at.r, at.u}) do said[#said + 1] = amount end
end
return said
"""
)

RENEW = (
    _PERIODS
    + """
-- KEYS: rows. ARGV: the lease, then for each row its kind and a name. What is no longer there stays away.
local lease = tonumber(ARGV[1])
for i, key in ipairs(KEYS) do
  local kind, name = ARGV[2 * i], ARGV[2 * i + 1]
  local at = key
  if kind == 'tally' then at = key .. ':o' end
  redis.call('ZADD', at, 'XX', 'GT', text(now + lease), name)
  if kind == 'places' and redis.call('EXISTS', key) == 1 then
    local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
    keep(key, math.max(last[2] - now, 0))
  end
end
return 1
"""
)
