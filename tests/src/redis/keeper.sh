# Keeps one server of Redis or Valkey for the process at the other end of its standard input, and outlives that process
# however it ends, as the keeper of the Postgres server does.
#
#   keeper.sh TEMPORARY PROGRAM ARGUMENTS…
#
# Where its directory has a `synced.so`, the server runs with that library before its own.
#
# Commands, one a line: `start` answers `ready` or `gone`; `kill` answers `stopped`, `freeze` answers `frozen`, `thaw`
# answers `thawed`.

# A signal to the whole group, Ctrl-C above all, must not end the keeper before its work.
trap '' HUP INT TERM PIPE
umask 077
temporary=$1 program=$2
shift 2

# This user may not be able to reach the caller's TMPDIR.
for parent in "$temporary" /tmp /var/tmp; do
    directory=$(mktemp -d "$parent/cratestack-redis.XXXXXX" 2>/dev/null) && break
done
# Some distributions have one program for all that Redis has, which looks at the name that it is called by.
[ -n "$directory" ] && cd "$directory" && mkdir data && ln -s "$program" redis-server && : >log || exit 1
echo "$directory"

# The server, and a child of it that writes a snapshot or a new log.
members() {
    ps -A -o pid= -o ppid= | while read -r pid parent; do
        [ "$parent" != "$server" ] || echo "$pid"
    done
    echo "$server"
}

server=
stop() {
    # The first can start no more children once it is stopped, so after it none is missed.
    [ -z "$server" ] || { kill -STOP "$server"; kill -KILL $(members); wait "$server"; server=; } 2>/dev/null
}

while read -r command; do
    case $command in
    start)
        seen=$(wc -c <log)
        preload=
        [ ! -f synced.so ] || preload=$directory/synced.so
        LD_PRELOAD=$preload "$directory/redis-server" "$@" >>log 2>&1 </dev/null &
        server=$!
        tries=0
        # The second is what a Sentinel says.
        until tail -c +$((seen + 1)) log | grep -Eq 'Ready to accept connections|Sentinel ID is'; do
            # Waiting for `sleep` also reaps the server, without which it would seem alive after its end.
            sleep 0.02
            tries=$((tries + 1))
            [ $tries -lt 3000 ] && kill -0 "$server" 2>/dev/null || { stop; echo gone; continue 2; }
        done
        echo ready
        ;;
    kill)
        stop
        echo stopped
        ;;
    freeze)
        kill -STOP "$server"
        echo frozen
        ;;
    thaw)
        kill -CONT "$server"
        echo thawed
        ;;
    esac
done

stop
cd /
rm -rf "$directory"
