-- Revokes a name and removes the peers of the shard that have it, one page of them. Request: name,
-- ends (ms since the epoch), cursor. The reply's cursor is 0 after the last page.

revoke_name(request.name, request.ends)
local page = redis.call('ZSCAN', leases, request.cursor, 'COUNT', 200)
result.cursor, result.removed = page[1], 0
for n = 1, #page[2], 2 do
  local id, room = parse_lease(page[2][n])
  local peer = find(room, id)
  local readable, names = pcall(names_of, room, peer)
  for _, name in ipairs(readable and names or {}) do
    if name == request.name then
      evict(room, id, peer, 'token_revoked')
      expel(room, id, peer, 'token_revoked')
      result.removed = result.removed + 1
      break
    end
  end
end
return cjson.encode(result)
