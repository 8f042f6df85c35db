-- Notes what an operator is shown of rooms besides their peers; of a room without peers nothing.
-- Request: notes [{room, relayed [{id, at}], sessions [{id, at, path}],
--                 errors [{at, code, limit, role, sub, times}]}].

-- Adds an error to those of a room. What happened before counts as one with it.
local function add_error(errors, entry)
  for n, known in ipairs(errors) do
    if known.code == entry.code and known.limit == entry.limit and known.role == entry.role and known.sub == entry.sub then
      entry.times = entry.times + (tonumber(known.times) or 0)
      table.remove(errors, n)
      break
    end
  end
  errors[#errors + 1] = entry
  local of_one = 0
  for n = #errors, 1, -1 do
    if errors[n].role == entry.role and errors[n].sub == entry.sub then
      of_one = of_one + 1
      if of_one > errors_of_one then table.remove(errors, n) end
    end
  end
  while #errors > remembered_errors do table.remove(errors, 1) end
end

-- Marks by peer, without those of peers that are gone.
local function marks_of(room, stored)
  local marks = {}
  for id, mark in pairs(type(stored) == 'table' and stored or {}) do
    if redis.call('HEXISTS', room_key(room), 'peer:' .. id) == 1 then marks[id] = mark end
  end
  return marks
end

-- Without what another program wrote.
local function notes_of(room)
  local stored = decode(redis.call('GET', notes_key(room)) or '') or {}
  local errors = {}
  for _, entry in ipairs(type(stored.errors) == 'table' and stored.errors or {}) do
    if type(entry) == 'table' then errors[#errors + 1] = entry end
  end
  return {
    relayed = marks_of(room, stored.relayed),
    sessions = marks_of(room, stored.sessions),
    errors = errors,
  }
end

for _, added in ipairs(request.notes) do
  local room = added.room
  if redis.call('EXISTS', room_key(room)) == 1 then
    local notes = notes_of(room)
    for _, mark in ipairs(added.relayed) do notes.relayed[mark.id] = mark.at end
    for _, mark in ipairs(added.sessions) do notes.sessions[mark.id] = { at = mark.at, path = mark.path } end
    for _, entry in ipairs(added.errors) do add_error(notes.errors, entry) end
    redis.call('SET', notes_key(room), cjson.encode(notes), 'PX', note_memory_ms)
  end
end
return cjson.encode(result)
