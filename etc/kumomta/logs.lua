--[==[
Rejections in a log directory of their own: the cheap way to feed Guard, and fail2ban.

Add the per_record part to your call of kumo.configure_local_logs, inside kumo.on('init', ...). With
it, nothing but rejections is in /var/log/kumomta/rejections, and the other records are where they
were. Short segments matter: KumoMTA compresses, and what is in a segment can be read for sure only
when the segment is closed.

In guard.toml then:

  [[source]]
  type = "kumomta-log"
  path = "/var/log/kumomta/rejections"
]==]
local kumo = require 'kumo'

kumo.on('init', function()
  kumo.configure_local_logs {
    log_dir = '/var/log/kumomta',
    max_segment_duration = '1m',
    per_record = {
      Rejection = {
        log_dir = '/var/log/kumomta/rejections',
      },
    },
  }
end)
