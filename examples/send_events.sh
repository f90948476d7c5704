#!/bin/sh
# Send your first events with curl.
#
#   WRITE_KEY=wk_... sh examples/send_events.sh
#
# URL=http://127.0.0.1:8000 is the default. The colon after the key is the empty password of Basic authentication.
set -eu
URL="${URL:-http://127.0.0.1:8000}"

curl -sS --fail-with-body "$URL/v1/identify" -u "$WRITE_KEY:" -H 'Content-Type: application/json' \
  -d '{"userId": "ada", "traits": {"email": "ada@example.com", "plan": "team"}}' >/dev/null

curl -sS --fail-with-body "$URL/v1/track" -u "$WRITE_KEY:" -H 'Content-Type: application/json' \
  -d '{"userId": "ada", "event": "Report Exported", "properties": {"format": "pdf", "pages": 12}}'
echo
