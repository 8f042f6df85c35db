-- Renews the leases of an instance's peers in a shard, lists the groups of which it missed a
-- change, and removes every peer of the shard whose lease has ended. Request: lease (ms), limit (of
-- removals), rooms [{room, peers [{id, resumeDigest}], watched [{role, version}]}], and revocations
-- [{name, ends}] that an emptied Redis may have lost.

result.missing, result.groups = {}, {}
for _, revocation in ipairs(request.revocations) do revoke_name(revocation.name, revocation.ends) end
for _, holding in ipairs(request.rooms) do
  local room = holding.room
  for _, held in ipairs(holding.peers) do
    local peer = find(room, held.id)
    if peer and peer.resumeDigest == held.resumeDigest and peer.state == 'online' then
      redis.call('ZADD', leases, now + request.lease, lease_of(room, held.id))
    else
      result.missing[#result.missing + 1] = held.id
    end
  end
  for _, watched in ipairs(holding.watched) do
    local known = version_of(room, watched.role)
    if known ~= watched.version then
      -- Versions must not fall back when Redis lost its last writes or its clock.
      if tonumber(known) < tonumber(watched.version) and redis.call('EXISTS', room_key(room)) == 1 then
        known = watched.version
        redis.call('HSET', room_key(room), 'version:' .. watched.role, known)
      end
      result.groups[#result.groups + 1] = {
        room = room, role = watched.role, version = known, members = members(room, watched.role),
        removed = removed_from(room, watched.role)
      }
    end
  end
end
for _, lease in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, request.limit)) do
  local id, room = parse_lease(lease)
  local peer = find(room, id)
  if not peer then
    redis.call('ZREM', leases, lease)
  elseif peer.state == 'online' then
    remove(room, id, peer, 'timeout', 'lost')
  else
    -- The resume window of a peer that was away is over.
    remove(room, id, peer, peer.reason)
  end
end
local first = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
result.next = first[2] and math.max(0, tonumber(first[2]) - now) or -1
return cjson.encode(result)
