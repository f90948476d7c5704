#!/bin/sh
# A first campaign with curl: a template, a campaign, users who trigger it, a question, the sink, the audit, the report.
#
#   WRITE_KEY=wk_... SECRET_KEY=sk_... sh examples/first_campaign.sh
#
# URL=http://127.0.0.1:8000 is the default. Nothing leaves the machine: until a channel has another provider, messages
# land in the built-in sink. Run it again, and the template and the campaign get a next version.
set -eu
URL="${URL:-http://127.0.0.1:8000}"

api() { curl -sS --fail-with-body -H "Authorization: Bearer $SECRET_KEY" "$@"; }
send() { curl -sS --fail-with-body -u "$WRITE_KEY:" "$@" >/dev/null; }
now() { date -u +%Y-%m-%dT%H:%M:%SZ; }

echo "1. What may be written"
api -X PUT "$URL/v1/templates/first-tips" -d '{
  "channel": "email", "defaults": {"name": "there"},
  "locales": {
    "en": {"subject": "Hello {{ user.name }}", "text": "Three tips to begin with: https://example.com/tips"},
    "de": {"subject": "Hallo {{ user.name }}", "text": "Drei Tipps für den Anfang: https://example.com/tips"}
  }
}' >/dev/null
api -X PUT "$URL/v1/templates/first-nudge" -d '{
  "channel": "sms", "defaults": {"name": "there"},
  "locales": {"en": {"text": "Hi {{ user.name }}, your trial has begun: https://example.com/start"}}
}' >/dev/null

echo "2. Who is considered, and what is hoped for"
api -X PUT "$URL/v1/campaigns/first-campaign" -d '{
  "trigger": {"event": "Trial Started"},
  "goal": {"event": "Subscription Started", "window": "72h"},
  "arms": [
    {"id": "tips", "channel": "email", "template": "first-tips"},
    {"id": "nudge", "channel": "sms", "template": "first-nudge"}
  ],
  "caps": [{"most": 1, "per": "day"}]
}' >/dev/null
api -X POST "$URL/v1/campaigns/first-campaign/publish" >/dev/null

echo "3. Twelve users begin a trial"
batch=""
for n in 01 02 03 04 05 06 07 08 09 10 11 12; do
  who="\"userId\": \"trial-$n\""
  traits="{\"name\": \"User $n\", \"email\": \"trial-$n@example.com\", \"phone\": \"+491510000$n$n\"}"
  batch="$batch{\"type\": \"identify\", $who, \"traits\": $traits, \"context\": {\"locale\": \"de-DE\"}},"
  batch="$batch{\"type\": \"track\", $who, \"event\": \"Trial Started\", \"timestamp\": \"$(now)\"},"
done
send "$URL/v1/batch" -d "{\"batch\": [${batch%,}]}"
send "$URL/v1/identify" -d '{"userId": "ada", "traits": {"name": "Ada", "email": "ada@example.com"}}'

echo "4. What to do about Ada, who has triggered nothing"
answer=$(api "$URL/v1/decisions" -H "Idempotency-Key: first-question" -d '{"campaign": "first-campaign", "user_id": "ada"}')
echo "$answer"

echo "5. What the sink received"
tries=0
while :; do
  messages=$(api "$URL/v1/sink/messages?campaign=first-campaign&limit=1")
  case $messages in *send_key*) break ;; esac
  tries=$((tries + 1))
  [ "$tries" -lt 100 ] || { echo "no message after 20 s" >&2; exit 1; }
  sleep 0.2
done
echo "$messages"

echo "6. Why it was so: the whole record of the decision about Ada"
decision=$(echo "$answer" | sed -n 's/.*"decision_id":"\(dec_[0-9a-z]*\)".*/\1/p')
api "$URL/v1/decisions/$decision"
echo

echo "7. A user subscribes: the goal"
send "$URL/v1/track" -d '{"userId": "trial-01", "event": "Subscription Started"}'

echo "8. The report: candidates = sent + no_send + refused + pending"
api "$URL/v1/campaigns/first-campaign/report"
echo
