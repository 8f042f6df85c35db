-- Removes a peer. Request: room, id.

local peer = find(request.room, request.id)
result.removed = peer and 1 or 0
if peer then
  evict(request.room, request.id, peer, 'kicked')
  expel(request.room, request.id, peer, 'kicked')
end
return cjson.encode(result)
