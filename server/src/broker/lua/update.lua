-- A connection ends, or its claims change. Request: room, id, resumeDigest, and either claims, or
-- state = away (with window, in ms) or gone, with a reason.

local room, id = request.room, request.id
local peer = find(room, id)
if not peer or peer.resumeDigest ~= request.resumeDigest then return cjson.encode(result) end
peer.claims = request.claims or peer.claims
local code = not request.state and refusal_code(room, peer)
if code then return refuse(code) end
if request.reason == 'revoked' then
  expel(room, id, peer, 'token_revoked')
elseif request.state == 'gone' then
  remove(room, id, peer, request.reason)
else
  local ends = redis.call('ZSCORE', leases, lease_of(room, id))
  if request.state == 'away' then
    peer.state, peer.reason = 'away', request.reason
    ends = now + request.window
  end
  change(room, id, peer, peer.state, nil, peer.reason)
  put(room, id, peer, ends or now)
end
return cjson.encode(result)
