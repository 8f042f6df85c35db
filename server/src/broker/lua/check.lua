-- Whether a peer that does not join could. Request: room, resumeDigest, subject, claims.

local code = refusal_code(request.room, request)
if code then return refuse(code) end
return cjson.encode(result)
