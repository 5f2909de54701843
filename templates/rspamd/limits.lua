-- Managed by mailprov: changes made here are drift, and the next apply takes them back.
-- How much each user may send within an hour, that a stolen password does little harm.
local logger = require "rspamd_logger"

local HOUR = 3600
local MOST = { messages = {{ messages }}, recipients = {{ recipients }} }
-- By login: what is left of each by now. It comes back evenly; a reload of rspamd gives all of it back.
local left = {}

-- How much of each is left to a user at this time.
local function budget(login, now)
  local known = left[login]
  if not known then
    return { messages = MOST.messages, recipients = MOST.recipients, at = now }
  end
  local past = math.max(0, now - known.at)
  local grown = { at = now }
  for name, most in pairs(MOST) do
    grown[name] = math.min(most, known[name] + past * most / HOUR)
  end
  return grown
end

-- Why a message is refused, and whether for good; nil if it is not.
local function refusal(task)
  local login = (task:get_user() or ""):lower()
  if login == "" then
    return nil
  end
  local cost = { messages = 1, recipients = #(task:get_recipients("smtp") or {}) }
  if cost.recipients > MOST.recipients then
    return "A user may write to " .. MOST.recipients .. " recipients an hour, this message has " .. cost.recipients, true
  end
  local now = budget(login, os.time())
  for _, name in ipairs({ "messages", "recipients" }) do
    if now[name] < cost[name] then
      local wait = math.ceil((cost[name] - now[name]) * HOUR / MOST[name])
      left[login] = now
      return login .. " may send " .. MOST[name] .. " " .. name .. " an hour: try again in " .. wait .. " seconds", false
    end
  end
  for name, count in pairs(cost) do
    now[name] = now[name] - count
  end
  left[login] = now
  return nil
end

rspamd_config:register_symbol({
  name = "MAILPROV_LIMITS",
  type = "prefilter",
  priority = 9, -- after the author's, whose refusals count for nothing
  flags = "empty",
  callback = function(task)
    local went, said, for_good = pcall(refusal, task)
    if not went then
      logger.errx(task, "the limits could not be looked at: %s", said)
      task:set_pre_result("soft reject", "The limits could not be looked at: try again later", "limits")
    elseif said then
      task:set_pre_result(for_good and "reject" or "soft reject", (said:gsub("[^ -~]", "?"):gsub("%%", "?")), "limits")
    end
  end,
})
