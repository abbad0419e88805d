#!/bin/sh
# Hand each event to several programs, one after the other:
#     --on-event '/opt/edgequake/examples/on_event_several.sh "on_event_ntfy.py --topic x" "on_event_picture.py"'
# Exit code: the number of those that failed.
event=$(cat)
failed=0
for command in "$@"; do
    printf '%s\n' "$event" | sh -c "$command" || failed=$((failed + 1))
done
exit $failed
