-- Managed by mailprov: changes made here are drift, and the next apply takes them back.
-- Who submits a message is its author: From:, and Sender: where there is one, are theirs (RFC 5322 3.6.2).
local logger = require "rspamd_logger"
local rspamd_ip = require "rspamd_ip"

local ENOENT = 2
local FOLDER = "/etc/postfix/mailprov/"
local MOST = 1048576 -- bytes of all headers
local LONGEST = 2000 -- bytes of one that is read
local HEADERS = {
  { name = "From", written = "\n[Ff][Rr][Oo][Mm][ \t]*:([^\n]*)", least = 1 },
  { name = "Sender", written = "\n[Ss][Ee][Nn][Dd][Ee][Rr][ \t]*:([^\n]*)", least = 0 },
}

-- One of Postfix's tables as it is now, each row after a line end; nil if there is none. Raises an error if it is there
-- and cannot be read.
local function rows_of(name)
  local file, why, code = io.open(FOLDER .. name, "rb")
  if code == ENOENT then
    return nil
  end
  local rows = assert(file, why):read("*a")
  file:close()
  return "\n" .. rows
end

-- What a table has for the first of these keys that it has; nil if for none. Raises an error if there is no such table.
local function found_in(name, ...)
  local rows = rows_of(name)
  for _, key in ipairs({ ... }) do
    local _, stop = rows:find("\n" .. key .. " ", 1, true)
    if stop then
      return rows:match("[^\n]*", stop + 1)
    end
  end
  return nil
end

-- Whether who is there needs no login.
local function is_near(ip)
  -- is_local() knows the networks, too, in some versions
  if not (ip and ip:is_valid()) or ip:to_string():find("^127%.") or ip:to_string() == "::1" then
    return false
  end
  for network, bits in (rows_of("networks") or ""):gmatch("\n([%x.:]+)/(%d+)") do
    local first = rspamd_ip.from_string(network)
    -- as text: == compares ports, too; and there is no mask of 0 bits
    local masked = ip:get_version() == first:get_version() and (bits == "0" and first or ip:apply_mask(tonumber(bits)))
    if masked and masked:to_string() == first:to_string() then
      return true
    end
  end
  return false
end

-- All headers, each in one line after a line end, which a bare CR is to some readers, too; nil if there are too many.
local function headers(task)
  local content = task:get_content()
  local head = "\n" .. content:sub(1, MOST):str()
  local stop = head:find("\n\r?\n")
  if not stop and content:len() > MOST then
    return nil
  end
  return (head:sub(1, stop):gsub("\r\n?", "\n"):gsub("\n[ \t]", " "))
end

local function trimmed(text)
  return text:match("^%s*(.-)%s*$")
end

-- A header without its comments, each quoted string one quote (RFC 5322 3.2.2, 3.2.4); nil if one of them does not end.
local function bare(value)
  local kept, depth, quoted, at = {}, 0, false, 1
  while at <= #value do
    local char = value:sub(at, at)
    if char == "\\" and (quoted or depth > 0) then
      at = at + 1
    elseif quoted then
      quoted = char ~= '"'
    elseif char == "(" then
      depth = depth + 1
      kept[#kept + 1] = " "
    elseif depth > 0 then
      depth = depth - (char == ")" and 1 or 0)
    else
      quoted = char == '"'
      kept[#kept + 1] = char
    end
    at = at + 1
  end
  return not quoted and depth == 0 and trimmed(table.concat(kept)) or nil
end

-- The one address of a header, in the form of Postfix's tables and without what follows a +, and its domain. nil if it
-- is not one: several, a group, or anything that two readers could take for two addresses.
local function address(task, value)
  local text = #value <= LONGEST and not value:find("[%z\1-\8\10-\31\127]") and bare(value)
  if not text then
    return nil
  end
  local phrase, addr = text:match("^([^<>]*)<([^<>]*)>$")
  phrase, addr = trimmed(phrase or ""):lower(), trimmed(addr or text):lower()
  if #addr > 320 or (phrase ~= addr and phrase:find("[@,;:\\%[%]]")) then
    return nil
  end
  local user, domain = addr:match("^([%w.!#$%%&'*/=?^_`{|}~-]+)%+?[%w.!#$%%&'*+/=?^_`{|}~-]*@([%w.\128-\255-]+)$")
  if user and domain:find("[\128-\255]") then
    domain = task:get_resolver():idna_convert_utf8(domain) or domain
  end
  return user and user .. "@" .. domain, domain
end

local function owns(login, found, domain)
  for owner in (found_in("logins", found, "@" .. domain) or ""):gmatch("[^, ]+") do
    if owner:lower() == login then
      return true
    end
  end
  return false
end

-- Why a message is refused; nil if it is not, or nobody submits it: it comes from another server, or from this host.
local function refusal(task)
  local login = task:get_user()
  local from = (((task:get_from("smtp") or {})[1] or {}).addr or ""):lower()
  local sender = address(task, from)
  if not (login or (is_near(task:get_from_ip()) and found_in("domains", from:match("[^@]*$")))) then
    return nil
  end
  local who = login and login:lower() or sender or from
  local head = headers(task)
  if not head then
    return "The headers of a message may have " .. MOST .. " bytes"
  end
  for _, header in ipairs(HEADERS) do
    local count, value = 0, nil
    for each in head:gmatch(header.written) do
      count, value = count + 1, each
    end
    if count < header.least or count > 1 then
      return "A message has one " .. header.name .. ": header (RFC 5322 3.6), this one has " .. count
    end
    local found, of = nil, nil
    if value then
      found, of = address(task, value)
      if not found then
        local name = header.name .. ": "
        return name .. "has to be one address, no list, no group, as in " .. name .. "Name <" .. who .. ">"
      end
      if found ~= sender and not (login and owns(who, found, of)) then
        return header.name .. ": " .. found .. " is not an address of " .. who
      end
    end
  end
  return nil
end

rspamd_config:register_symbol({
  name = "MAILPROV_AUTHOR",
  type = "prefilter",
  priority = 10,
  flags = "empty,ignore_passthrough",
  callback = function(task)
    local went, said = pcall(refusal, task)
    if not went then
      logger.errx(task, "the author could not be checked: %s", said)
      task:set_pre_result("soft reject", "The author could not be checked: try again later", "author")
    elseif said then
      said = said:gsub("[^ -~]", "?"):gsub("%%", "?"):sub(1, 400)
      task:set_pre_result("reject", said, "author")
    end
  end,
})
