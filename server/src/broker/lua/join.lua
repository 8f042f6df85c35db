-- A peer takes its place. Request: room, id, resumeDigest, role, process, subject, instance,
-- claims, since (ms), lease (ms), maxClients, and either resume {id, resumeDigest} or restore =
-- true, which writes again what is missing: Redis was emptied, or the peer's instance was cut off
-- for longer than a lease. The place has to be free then.

local room, id = request.room, request.id
local peer = {
  instance = request.instance, state = 'online', role = request.role, subject = request.subject,
  process = request.process, resumeDigest = request.resumeDigest, claims = request.claims, joined = '0',
  since = request.since
}
local code = refusal_code(room, peer)
if code then
  -- Watchers that did not hear of the removal, or know the peer as lost, are told now.
  if request.restore and removal_reason(code) then
    local known = find(room, id)
    if not known or known.resumeDigest == peer.resumeDigest then expel(room, id, peer, code) end
  end
  return refuse(code)
end
local old
if request.resume then
  local resume = request.resume
  code = redis.call('GET', refused_key('connection:' .. resume.resumeDigest))
  if code and removal_reason(code) then return refuse(code) end
  local named = find(room, resume.id)
  if named and named.resumeDigest == resume.resumeDigest and named.role == peer.role
    and named.subject == peer.subject then
    id, old = resume.id, named
  end
elseif request.restore then
  old = find(room, id)
  if old and old.resumeDigest ~= peer.resumeDigest then return refuse('moved') end
end
local holder, held = holder_of(room, place(peer))
if held and holder ~= id and is_alive(room, holder) then
  if held.subject ~= peer.subject then return refuse('room_taken') end
  if request.restore then return refuse('replaced') end
end
local is_new = peer.role == 'client' and not request.restore and not old and not held
if is_new and count_clients(room) >= request.maxClients then return refuse('room_full') end
if old then peer.since = old.since end
if old and old.resumeDigest ~= peer.resumeDigest then evict(room, id, old) end
if old and place(old) ~= place(peer) then redis.call('HDEL', room_key(room), place(old)) end
if held and holder ~= id then
  evict(room, holder, held, 'replaced')
  remove(room, holder, held, 'replaced')
end
change(room, id, peer, 'online', not request.restore and 'joins')
put(room, id, peer, now + request.lease)
local watched = other(peer.role)
result.id = id
result.others = {
  version = version_of(room, watched), members = members(room, watched),
  removed = request.resume and removed_from(room, watched)
}
return cjson.encode(result)
