# Usage: sh ledger_job.sh FOLDER LINES CHATTER
# Writes what becomes of it into FOLDER/ledger, which nobody but such jobs writes: the judge of "once".
# Prints LINES numbered lines, then CHATTER more per tick, until FOLDER/release-N is there, N counting the
# starts so far; ends with the exit code that the file holds.
folder=$1 lines=$2 chatter=$3
ledger=$folder/ledger
number=$(($(grep -c '^start' "$ledger" 2>/dev/null) + 1))
echo "start $number" >>"$ledger"
trap 'echo "stopped $number" >>"$ledger"; exit 143' TERM
echo "job $number is here"
# Line by line: Ray writes a line of its own into the same file at some time.
stdbuf -oL seq -f 'line %.0f' 1 "$lines"
ticks=0
until [ -e "$folder/release-$number" ]; do
    ticks=$((ticks + 1))
    [ "$ticks" -gt 9000 ] && exit 3
    [ "$chatter" -gt 0 ] && stdbuf -oL seq -f 'line %.0f' $((lines + 1)) $((lines + chatter))
    lines=$((lines + chatter))
    sleep 0.2
done
code=$(cat "$folder/release-$number")
echo "$lines" >"$folder/printed-$number"
echo "end $number" >>"$ledger"
exit "$code"
