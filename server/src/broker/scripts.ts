import { rememberedRemovals, removalMemoryMs } from './broker.ts';

/**
 * The Lua scripts of the Redis broker: each is one atomic step, and the time is Redis's own.
 *
 * Keys of a shard share a hash tag, so that a script stays in one slot of a Redis Cluster:
 *   rendezvous:{n}:leases       sorted set: "<peer id> <room>" scored by when the peer's lease ends, in milliseconds
 *   rendezvous:{n}:barred:<name>  string, until the bar ends: the code with which a peer of this name is refused; see barred.ts,
 *                               and connection:<connection> for one that lost its place, `moved` if to the peer's next one
 *   rendezvous:{n}:removed:<room> string for an hour: JSON list of the peers that the operator removed from the room: r role,
 *                               i peer id, w why
 *   rendezvous:{n}:revoked      sorted set of the names that are barred by a revocation, scored by its end, so that a later one of the
 *                               same name does not shorten it
 *   rendezvous:{n}:rooms        sorted set of the rooms that have a hash, all with score 0, so that they can be listed by name
 *   rendezvous:{n}:room:<room>  hash:
 *     p:<peer id>                       JSON: i instance, s state, r role, u subject, o process, h connection,
 *                                       c claims (JSON text), v version, f version of its last join or resumption,
 *                                       t when it came, in milliseconds, w why it is away
 *     x:server, x:client:<o><u>         the peer id that has this place
 *     v:server, v:client                each group's version: microseconds of its last change, so that it also grows after
 *                                       Redis was emptied
 * Versions travel as strings, because cjson writes numbers with 14 digits only.
 */
const library = `
local request = cjson.decode(ARGV[1])
local prefix = KEYS[1] .. ':room:'
local leases = KEYS[1] .. ':leases'
local rooms = KEYS[1] .. ':rooms'
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
local result = { changes = {}, evicted = {} }

local function other(role) return role == 'server' and 'client' or 'server' end

local function place(peer)
  if peer.r == 'server' then return 'x:server' end
  return 'x:client:' .. #peer.o .. ':' .. peer.o .. peer.u
end

-- What cannot be read counts as missing: its instance writes it again, and nobody else's record suffers.
local function decode(json)
  local ok, value = pcall(cjson.decode, json)
  return ok and type(value) == 'table' and value or nil
end

local function find(room, id)
  local json = redis.call('HGET', prefix .. room, 'p:' .. id)
  local peer = json and decode(json)
  return peer and peer.h and peer
end

local function occupant(room, field)
  local id = redis.call('HGET', prefix .. room, field)
  return id, id and find(room, id)
end

-- A peer has two fields, and each group that ever had one has its version.
local function clients(room)
  local key = prefix .. room
  local versions = redis.call('HEXISTS', key, 'v:server') + redis.call('HEXISTS', key, 'v:client')
  return math.floor((redis.call('HLEN', key) - versions) / 2) - redis.call('HEXISTS', key, 'x:server')
end

local function names(room, peer)
  local parsed, claims = cjson.decode(room), cjson.decode(peer.c)
  local issuer = ':' .. #parsed[1] .. ':' .. parsed[1]
  local found = { 'connection:' .. peer.h, 'room' .. issuer .. parsed[2], 'sub' .. issuer .. peer.u }
  if claims.jti then found[4] = 'jti' .. issuer .. claims.jti end
  return found
end

local function bar(name, code, ends) redis.call('SET', KEYS[1] .. ':barred:' .. name, code, 'PXAT', ends) end

-- Refuses tokens of this name until then, or for as long as they were refused before.
local function revoke(name, ends)
  local known = KEYS[1] .. ':revoked'
  ends = math.max(ends, tonumber(redis.call('ZSCORE', known, name) or 0))
  redis.call('ZREMRANGEBYSCORE', known, '-inf', now)
  redis.call('ZADD', known, ends, name)
  bar(name, 'token_revoked', string.format('%.0f', ends))
end

-- The code with which a peer is refused, if it is.
local function barred(room, peer)
  for _, name in ipairs(names(room, peer)) do
    local code = redis.call('GET', KEYS[1] .. ':barred:' .. name)
    if code then return code end
  end
end

local function refusal(code)
  if code == 'moved' then result.moved = true else result.refused = code end
  return cjson.encode(result)
end

-- What others hear of a peer with this code; nil: it was not the operator.
local function removal(code) return code == 'kicked' and code or code == 'token_revoked' and 'revoked' or nil end

local function split(lease)
  local space = string.find(lease, ' ', 1, true)
  return string.sub(lease, 1, space - 1), string.sub(lease, space + 1)
end

local function alive(room, id)
  local ends = redis.call('ZSCORE', leases, id .. ' ' .. room)
  return ends and tonumber(ends) > now
end

local function members(room, role)
  local found = {}
  if role == 'server' then
    local id, peer = occupant(room, 'x:server')
    if peer then found[1] = { id = id, i = peer.i, s = peer.s, c = peer.c, v = peer.v, f = peer.f, w = peer.w } end
    return found
  end
  local all = redis.call('HGETALL', prefix .. room)
  for n = 1, #all, 2 do
    if string.sub(all[n], 1, 2) == 'p:' then
      local peer = decode(all[n + 1])
      if peer and peer.r == role then
        found[#found + 1] =
          { id = string.sub(all[n], 3), i = peer.i, s = peer.s, c = peer.c, v = peer.v, f = peer.f, w = peer.w }
      end
    end
  end
  return found
end

local function version(room, role) return redis.call('HGET', prefix .. room, 'v:' .. role) or '0' end

local function removals(room) return decode(redis.call('GET', KEYS[1] .. ':removed:' .. room) or '[]') or {} end

-- Whom the operator removed from a group lately.
local function removed(room, role)
  local found = {}
  for _, entry in ipairs(removals(room)) do
    if entry.r == role then found[#found + 1] = { id = entry.i, reason = entry.w } end
  end
  return found
end

-- One step of the peer's group, for the instances whose peers watch it.
local function change(room, id, peer, state, how, why)
  local previous = version(room, peer.r)
  peer.v = string.format('%.0f', math.max(tonumber(previous) + 1, micros))
  if how == 'joins' then peer.f = peer.v end
  redis.call('HSET', prefix .. room, 'v:' .. peer.r, peer.v)
  local to, seen = {}, {}
  for _, watcher in ipairs(members(room, other(peer.r))) do
    if watcher.s == 'online' and not seen[watcher.i] then
      seen[watcher.i] = true
      to[#to + 1] = watcher.i
    end
  end
  result.changes[#result.changes + 1] = {
    room = room, role = peer.r, id = id, state = state, lost = how == 'lost' or nil, reason = why, instance = peer.i,
    claims = peer.c, version = peer.v, previous = previous, joined = peer.f, to = to
  }
end

local function put(room, id, peer, ends)
  redis.call('HSET', prefix .. room, 'p:' .. id, cjson.encode(peer), place(peer), id)
  redis.call('ZADD', leases, ends, id .. ' ' .. room)
  redis.call('ZADD', rooms, 0, room)
end

local function remove(room, id, peer, why, how)
  change(room, id, peer, 'gone', how, why)
  redis.call('HDEL', prefix .. room, 'p:' .. id)
  if redis.call('HGET', prefix .. room, place(peer)) == id then redis.call('HDEL', prefix .. room, place(peer)) end
  redis.call('ZREM', leases, id .. ' ' .. room)
  -- A peer has two fields; what is left of an empty room is its versions.
  if redis.call('HLEN', prefix .. room) <= 2 then
    redis.call('DEL', prefix .. room)
    redis.call('ZREM', rooms, room)
  end
end

-- For how long a connection that lost its place is remembered, in milliseconds: its instance may be cut off and still hold it.
local memory = ${removalMemoryMs}

-- Tells the instance of a peer that its connection lost its place; without a code because the peer itself has another one.
local function evict(room, id, peer, code)
  if peer.s == 'online' then
    bar('connection:' .. peer.h, code or 'moved', now + memory)
    result.evicted[#result.evicted + 1] = { room = room, id = id, instance = peer.i, connection = peer.h, code = code }
  end
end

-- The operator removed a peer. Those who cannot hear of it now hear of it when they are back: the peer itself by its resume secret.
local function expel(room, id, peer, code)
  local why = removal(code)
  bar('connection:' .. peer.h, code, now + memory)
  remove(room, id, peer, why)
  local list = removals(room)
  list[#list + 1] = { r = peer.r, i = id, w = why }
  while #list > ${rememberedRemovals} do table.remove(list, 1) end
  redis.call('SET', KEYS[1] .. ':removed:' .. room, cjson.encode(list), 'PX', memory)
end
`;

/**
 * A peer takes its place. Request: room, id, connection, role, process, subject, instance, claims, since (ms), lease (ms),
 * clients (as many may be in a room), and either resume {id, connection} or restore = true, which writes again what is missing:
 * Redis was emptied, or the peer's instance was cut off for longer than a lease. The place must be free then.
 */
const join = `${library}
local room, id = request.room, request.id
local peer = {
  i = request.instance, s = 'online', r = request.role, u = request.subject, o = request.process,
  h = request.connection, c = request.claims, f = '0', t = request.since
}
local code = barred(room, peer)
if code then
  -- Whoever did not hear of the removal, or knows the peer as lost, hears of it now.
  if request.restore and removal(code) then
    local known = find(room, id)
    if not known or known.h == peer.h then expel(room, id, peer, code) end
  end
  return refusal(code)
end
if request.resume then
  code = redis.call('GET', KEYS[1] .. ':barred:connection:' .. request.resume.connection)
  if code and removal(code) then return refusal(code) end
end
local old
if request.resume then
  local named = find(room, request.resume.id)
  if named and named.h == request.resume.connection and named.r == peer.r and named.u == peer.u then
    id, old = request.resume.id, named
  end
elseif request.restore then
  old = find(room, id)
  if old and old.h ~= peer.h then return refusal('moved') end
end
local holder, held = occupant(room, place(peer))
if held and holder ~= id and alive(room, holder) then
  if held.u ~= peer.u then return refusal('room_taken') end
  if request.restore then return refusal('replaced') end
end
if peer.r == 'client' and not request.restore and not old and not held and clients(room) >= request.clients then
  return refusal('room_full')
end
if old then peer.t = old.t end
if old and old.h ~= peer.h then evict(room, id, old) end
if old and place(old) ~= place(peer) then redis.call('HDEL', prefix .. room, place(old)) end
if held and holder ~= id then
  evict(room, holder, held, 'replaced')
  remove(room, holder, held, 'replaced')
end
change(room, id, peer, 'online', not request.restore and 'joins')
put(room, id, peer, now + request.lease)
local watched = other(peer.r)
result.id = id
result.others = {
  version = version(room, watched), members = members(room, watched), removed = request.resume and removed(room, watched)
}
return cjson.encode(result)
`;

/**
 * A connection ends, or its claims change. Request: room, id, connection, and state away (with window, ms) or gone, with the reason, or
 * claims.
 */
const update = `${library}
local peer = find(request.room, request.id)
if not peer or peer.h ~= request.connection then return cjson.encode(result) end
peer.c = request.claims or peer.c
local code = not request.state and barred(request.room, peer)
if code then return refusal(code) end
if request.reason == 'revoked' then
  expel(request.room, request.id, peer, 'token_revoked')
elseif request.state == 'gone' then
  remove(request.room, request.id, peer, request.reason)
else
  local ends = redis.call('ZSCORE', leases, request.id .. ' ' .. request.room)
  if request.state == 'away' then
    peer.s, peer.w = 'away', request.reason
    ends = now + request.window
  end
  change(request.room, request.id, peer, peer.s, nil, peer.w)
  put(request.room, request.id, peer, ends or now)
end
return cjson.encode(result)
`;

/**
 * Renews the leases of an instance's peers in a shard, lists the groups of which it missed a change, and removes every peer of the
 * shard whose lease has ended. Request: lease (ms), limit, rooms [{room, seats [{id, connection}], watched [{role, version}]}],
 * and barred [{name, ends}], revocations that an emptied Redis may have lost.
 */
const tend = `${library}
result.missing, result.groups = {}, {}
for _, lost in ipairs(request.barred) do revoke(lost.name, lost.ends) end
for _, holding in ipairs(request.rooms) do
  local room = holding.room
  for _, seat in ipairs(holding.seats) do
    local peer = find(room, seat.id)
    if peer and peer.h == seat.connection and peer.s == 'online' then
      redis.call('ZADD', leases, now + request.lease, seat.id .. ' ' .. room)
    else
      result.missing[#result.missing + 1] = seat.id
    end
  end
  for _, watched in ipairs(holding.watched) do
    local known = version(room, watched.role)
    if known ~= watched.version then
      -- Versions must not fall back when Redis lost its last writes or its clock.
      if tonumber(known) < tonumber(watched.version) and redis.call('EXISTS', prefix .. room) == 1 then
        known = watched.version
        redis.call('HSET', prefix .. room, 'v:' .. watched.role, known)
      end
      result.groups[#result.groups + 1] = {
        room = room, role = watched.role, version = known, members = members(room, watched.role),
        removed = removed(room, watched.role)
      }
    end
  end
end
for _, lease in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, request.limit)) do
  local id, room = split(lease)
  local peer = find(room, id)
  -- One that was away had its time.
  if not peer then
    redis.call('ZREM', leases, lease)
  elseif peer.s == 'online' then
    remove(room, id, peer, 'timeout', 'lost')
  else
    remove(room, id, peer, peer.w)
  end
end
local first = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
result.next = first[2] and math.max(0, tonumber(first[2]) - now) or -1
return cjson.encode(result)
`;

/**
 * Bars a name and removes the peers of the shard that have it, those of one page. Request: name, ends (ms since the epoch), cursor;
 * the reply's cursor is 0 when all pages were looked at.
 */
const revoke = `${library}
revoke(request.name, request.ends)
local page = redis.call('ZSCAN', leases, request.cursor, 'COUNT', 200)
result.cursor, result.removed = page[1], 0
for n = 1, #page[2], 2 do
  local id, room = split(page[2][n])
  local peer = find(room, id)
  local readable, found = pcall(names, room, peer)
  for _, name in ipairs(readable and found or {}) do
    if name == request.name then
      evict(room, id, peer, 'token_revoked')
      expel(room, id, peer, 'token_revoked')
      result.removed = result.removed + 1
      break
    end
  end
end
return cjson.encode(result)
`;

/** Removes a peer. Request: room, peer (its id). */
const kick = `${library}
local peer = find(request.room, request.peer)
result.removed = peer and 1 or 0
if peer then
  evict(request.room, request.peer, peer, 'kicked')
  expel(request.room, request.peer, peer, 'kicked')
end
return cjson.encode(result)
`;

/** Lists rooms by name. Request: limit, after. */
const list = `${library}
result.rooms = {}
local from = request.after and '(' .. request.after or '-'
for _, room in ipairs(redis.call('ZRANGE', rooms, from, '+', 'BYLEX', 'LIMIT', 0, request.limit)) do
  local _, server = occupant(room, 'x:server')
  result.rooms[#result.rooms + 1] = { room = room, server = server and server.s or nil, clients = clients(room) }
end
return cjson.encode(result)
`;

/** One key each: the shard's, from which a script makes the others. */
export const scripts = {
  rendezvousJoin: { numberOfKeys: 1, lua: join },
  rendezvousUpdate: { numberOfKeys: 1, lua: update },
  rendezvousTend: { numberOfKeys: 1, lua: tend },
  rendezvousRevoke: { numberOfKeys: 1, lua: revoke },
  rendezvousKick: { numberOfKeys: 1, lua: kick },
  rendezvousList: { numberOfKeys: 1, lua: list },
};

/** A fixed number, because it decides where a room is: changing it means another key prefix. */
export const shards = 16;

/** The shard of a room: FNV-1a, because every instance has to agree on it. */
export function shardOf(room: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < room.length; index++) hash = Math.imul(hash ^ room.charCodeAt(index), 0x01000193);
  return (hash >>> 0) % shards;
}

export const shardKey = (shard: number): string => `rendezvous:{${shard}}`;
export const roomKey = (room: string): string => `${shardKey(shardOf(room))}:room:${room}`;
export const inboxOf = (instance: string): string => `rendezvous:{${instance}}:inbox`;
