#!/bin/sh
# Hand each event to several programs, one after the other; those beside this file need no path:
#     --on-event '/opt/edgequake/examples/on_event_several.sh "on_event_ntfy.py --topic x" "on_event_webhook.py URL"'
# All together have the time of --on-event-timeout. Exit code: the number of those that failed.
PATH=$(dirname "$0"):$PATH
event=$(cat)
failed=0
for command in "$@"; do
    printf '%s\n' "$event" | sh -c "$command" || failed=$((failed + 1))
done
exit $failed
