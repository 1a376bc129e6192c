# Keeps one NATS server for the process at the other end of its standard input, and outlives that process however it
# ends, as the keeper of the Postgres server does.
#
#   keeper.sh TEMPORARY SERVER
#
# Commands, one a line: `start PORT` answers with its port, or with `gone`; `kill` answers `stopped`.

# A signal to the whole group, Ctrl-C above all, must not end the keeper before its work.
trap '' HUP INT TERM PIPE
umask 077
temporary=$1 program=$2

# This user may not be able to reach the caller's TMPDIR.
for parent in "$temporary" /tmp /var/tmp; do
    directory=$(mktemp -d "$parent/cratestack-nats.XXXXXX" 2>/dev/null) && break
done
[ -n "$directory" ] && cd "$directory" || exit 1
echo "$directory"

server=
stop() {
    [ -z "$server" ] || { kill -KILL "$server"; wait "$server"; server=; } 2>/dev/null
}

while read -r command port; do
    case $command in
    start)
        rm -rf ports && mkdir ports
        "$program" -a 127.0.0.1 -p "$port" -js -sd "$directory/store" --ports_file_dir ports >>log 2>&1 </dev/null &
        server=$!
        tries=0
        # It is written once the server listens, and says where.
        until at=$(grep -o 'nats://127.0.0.1:[0-9]*' ports/*.ports 2>/dev/null); do
            # Waiting for `sleep` also reaps the server, without which it would seem alive after its end.
            sleep 0.05
            tries=$((tries + 1))
            [ $tries -lt 1200 ] && kill -0 "$server" 2>/dev/null || { stop; echo gone; continue 2; }
        done
        echo "${at##*:}"
        ;;
    kill)
        stop
        echo stopped
        ;;
    esac
done

stop
cd /
rm -rf "$directory"
