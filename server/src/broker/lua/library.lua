-- What all scripts share. Each script is one atomic step, and the time is Redis's own.
--
-- A script has one key, the shard's, and one argument, its request as JSON. All keys of a shard
-- share a hash tag, so that a script stays in one slot of a Redis Cluster:
--
--   rendezvous:{n}:leases          sorted set: "<peer id> <room>", scored by when the peer's lease
--                                  ends, in milliseconds
--   rendezvous:{n}:refused:<name>  string: the code with which a peer of this name is refused,
--                                  until the key expires. The names are those of revocations.ts,
--                                  and connection:<resume digest> of a connection that lost its
--                                  place: `moved` if the peer itself has another connection
--   rendezvous:{n}:removed:<room>  string, for an hour: JSON list of the peers that the operator
--                                  removed from the room {role, id, reason}
--   rendezvous:{n}:notes:<room>    string, for an hour or until the room is empty: JSON of what an
--                                  operator is shown of it besides: relayed {<peer id> = ms of
--                                  the last relayed data}, sessions {<peer id> = {at, path}} as
--                                  clients report them, errors [{at, code, limit, role, sub, times}]
--   rendezvous:{n}:revocations     sorted set of revoked names, scored by the revocation's end, so
--                                  that a later one does not shorten it
--   rendezvous:{n}:rooms           sorted set of the rooms that have a hash, all scored 0, so that
--                                  they can be listed by name
--   rendezvous:{n}:room:<room>     hash:
--     peer:<peer id>                 JSON: instance, state, role, subject, process, resumeDigest,
--                                    claims (JSON text), version, joined (the version of its last
--                                    join or resumption), since (ms), reason (why it is away)
--     place:server                   the id of the peer that has this place,
--     place:client:<process><subject>  also of each client
--     version:server, version:client   each group's version: microseconds of its last change, so
--                                    that it also grows after Redis was emptied
--
-- Versions travel as strings, because cjson writes numbers with 14 digits only.

local request = cjson.decode(ARGV[1])
local shard = KEYS[1]
local leases = shard .. ':leases'
local rooms = shard .. ':rooms'
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
local result = { changes = {}, evicted = {} }

local function room_key(room) return shard .. ':room:' .. room end
local function removed_key(room) return shard .. ':removed:' .. room end
local function notes_key(room) return shard .. ':notes:' .. room end
local function refused_key(name) return shard .. ':refused:' .. name end

local function other(role) return role == 'server' and 'client' or 'server' end

local function place(peer)
  if peer.role == 'server' then return 'place:server' end
  return 'place:client:' .. #peer.process .. ':' .. peer.process .. peer.subject
end

-- A value that cannot be read counts as missing: its instance writes it again, and no other peer is
-- affected.
local function decode(json)
  local ok, value = pcall(cjson.decode, json)
  return ok and type(value) == 'table' and value or nil
end

local function find(room, id)
  local json = redis.call('HGET', room_key(room), 'peer:' .. id)
  local peer = json and decode(json)
  return peer and peer.resumeDigest and peer
end

local function holder_of(room, field)
  local id = redis.call('HGET', room_key(room), field)
  return id, id and find(room, id)
end

-- A peer has two fields, and each group that ever had a peer has its version.
local function count_clients(room)
  local key = room_key(room)
  local versions = redis.call('HEXISTS', key, 'version:server') + redis.call('HEXISTS', key, 'version:client')
  local peers = math.floor((redis.call('HLEN', key) - versions) / 2)
  return peers - redis.call('HEXISTS', key, 'place:server')
end

local function names_of(room, peer)
  local parsed, claims = cjson.decode(room), cjson.decode(peer.claims)
  local issuer = ':' .. #parsed[1] .. ':' .. parsed[1]
  local names = {
    'connection:' .. peer.resumeDigest, 'room' .. issuer .. parsed[2], 'sub' .. issuer .. peer.subject
  }
  if claims.jti then names[#names + 1] = 'jti' .. issuer .. claims.jti end
  -- A client falls with the token that invited it, and with the subject of that token, which may
  -- have invited under others.
  if claims.by then
    names[#names + 1] = 'jti' .. issuer .. claims.by
    if string.sub(peer.subject, 1, 4) == 'inv:' then names[#names + 1] = 'sub' .. issuer .. string.sub(peer.subject, 5) end
  end
  return names
end

-- Refuses peers of this name with a code, until a time in milliseconds.
local function refuse_name(name, code, ends) redis.call('SET', refused_key(name), code, 'PXAT', ends) end

-- Refuses tokens of this name until then, or for as long as they were refused before.
local function revoke_name(name, ends)
  local known = shard .. ':revocations'
  ends = math.max(ends, tonumber(redis.call('ZSCORE', known, name) or 0))
  redis.call('ZREMRANGEBYSCORE', known, '-inf', now)
  redis.call('ZADD', known, ends, name)
  refuse_name(name, 'token_revoked', string.format('%.0f', ends))
end

-- The code with which a peer is refused; nil: it is not.
local function refusal_code(room, peer)
  for _, name in ipairs(names_of(room, peer)) do
    local code = redis.call('GET', refused_key(name))
    if code then return code end
  end
end

local function refuse(code)
  if code == 'moved' then result.moved = true else result.refused = code end
  return cjson.encode(result)
end

-- The reason that others receive for a peer removed by the operator with this code; nil: it was not the
-- operator.
local function removal_reason(code)
  return code == 'kicked' and code or code == 'token_revoked' and 'revoked' or nil
end

local function lease_of(room, id) return id .. ' ' .. room end

local function parse_lease(lease)
  local space = string.find(lease, ' ', 1, true)
  return string.sub(lease, 1, space - 1), string.sub(lease, space + 1)
end

local function is_alive(room, id)
  local ends = redis.call('ZSCORE', leases, lease_of(room, id))
  return ends and tonumber(ends) > now
end

local function record(id, peer)
  return {
    id = id, instance = peer.instance, state = peer.state, reason = peer.reason, claims = peer.claims,
    version = peer.version, joined = peer.joined
  }
end

local function members(room, role)
  local found = {}
  if role == 'server' then
    local id, peer = holder_of(room, 'place:server')
    if peer then found[1] = record(id, peer) end
    return found
  end
  local fields = redis.call('HGETALL', room_key(room))
  for n = 1, #fields, 2 do
    if string.sub(fields[n], 1, 5) == 'peer:' then
      local peer = decode(fields[n + 1])
      if peer and peer.role == role then found[#found + 1] = record(string.sub(fields[n], 6), peer) end
    end
  end
  return found
end

local function version_of(room, role)
  return redis.call('HGET', room_key(room), 'version:' .. role) or '0'
end

local function removals(room) return decode(redis.call('GET', removed_key(room)) or '[]') or {} end

-- The peers of a group that the operator removed lately.
local function removed_from(room, role)
  local found = {}
  for _, entry in ipairs(removals(room)) do
    if entry.role == role then found[#found + 1] = { id = entry.id, reason = entry.reason } end
  end
  return found
end

-- One step of the peer's group, for the instances whose peers watch it.
local function change(room, id, peer, state, how, reason)
  local previous = version_of(room, peer.role)
  peer.version = string.format('%.0f', math.max(tonumber(previous) + 1, micros))
  if how == 'joins' then peer.joined = peer.version end
  redis.call('HSET', room_key(room), 'version:' .. peer.role, peer.version)
  local to, seen = {}, {}
  for _, watcher in ipairs(members(room, other(peer.role))) do
    if watcher.state == 'online' and not seen[watcher.instance] then
      seen[watcher.instance] = true
      to[#to + 1] = watcher.instance
    end
  end
  result.changes[#result.changes + 1] = {
    room = room, role = peer.role, id = id, state = state, lost = how == 'lost' or nil, reason = reason,
    instance = peer.instance, claims = peer.claims, version = peer.version, previous = previous,
    joined = peer.joined, to = to
  }
end

local function put(room, id, peer, ends)
  redis.call('HSET', room_key(room), 'peer:' .. id, cjson.encode(peer), place(peer), id)
  redis.call('ZADD', leases, ends, lease_of(room, id))
  redis.call('ZADD', rooms, 0, room)
end

local function remove(room, id, peer, reason, how)
  local key, field = room_key(room), place(peer)
  change(room, id, peer, 'gone', how, reason)
  redis.call('HDEL', key, 'peer:' .. id)
  if redis.call('HGET', key, field) == id then redis.call('HDEL', key, field) end
  redis.call('ZREM', leases, lease_of(room, id))
  -- A peer has two fields; what is left of an empty room is its versions.
  if redis.call('HLEN', key) <= 2 then
    redis.call('DEL', key, notes_key(room))
    redis.call('ZREM', rooms, room)
  end
end

-- Tells the instance of a peer that its connection lost its place; without a code because the peer
-- itself has another connection. That is remembered, because the instance may be cut off and still
-- hold the connection.
local function evict(room, id, peer, code)
  if peer.state ~= 'online' then return end
  refuse_name('connection:' .. peer.resumeDigest, code or 'moved', now + removal_memory_ms)
  result.evicted[#result.evicted + 1] = {
    room = room, id = id, instance = peer.instance, resumeDigest = peer.resumeDigest, code = code
  }
end

-- The operator removed a peer. That is remembered for those who are away: the peer itself is known
-- by its resume digest.
local function expel(room, id, peer, code)
  local reason = removal_reason(code)
  refuse_name('connection:' .. peer.resumeDigest, code, now + removal_memory_ms)
  remove(room, id, peer, reason)
  local list = removals(room)
  list[#list + 1] = { role = peer.role, id = id, reason = reason }
  while #list > remembered_removals do table.remove(list, 1) end
  redis.call('SET', removed_key(room), cjson.encode(list), 'PX', removal_memory_ms)
end
