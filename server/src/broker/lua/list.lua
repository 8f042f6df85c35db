-- Lists rooms by name. Request: limit, after.

result.rooms = {}
local from = request.after and '(' .. request.after or '-'
for _, room in ipairs(redis.call('ZRANGE', rooms, from, '+', 'BYLEX', 'LIMIT', 0, request.limit)) do
  local _, server = holder_of(room, 'place:server')
  result.rooms[#result.rooms + 1] = {
    room = room, server = server and server.state or nil, clients = count_clients(room)
  }
end
return cjson.encode(result)
