# Keeps one Postgres server for the process at the other end of its standard input, and outlives that process however it
# ends: the end of the input is the one sign of it that even SIGKILL gives.
#
#   keeper.sh TEMPORARY BINARIES [postgres options]
#
# Commands, one a line: `start PORT` answers `ready` or `gone`; `stop`, `kill` and `crash` answer `stopped`, `freeze` answers
# `frozen`, `thaw` answers `thawed`.

# A signal to the whole group, Ctrl-C above all, must not end the keeper before its work.
trap '' HUP INT TERM PIPE
umask 077
temporary=$1 binaries=$2
shift 2

# This user may not be able to reach the caller's TMPDIR.
for parent in "$temporary" /tmp /var/tmp; do
    directory=$(mktemp -d "$parent/cratestack-postgres.XXXXXX" 2>/dev/null) && break
done
[ -n "$directory" ] && cd "$directory" || exit 1
echo "$directory"

# The server and its sessions.
members() {
    ps -A -o pid= -o ppid= | while read -r pid parent; do
        [ "$parent" != "$server" ] || echo "$pid"
    done
    echo "$server"
}

# The first can start no more sessions once it is stopped, so after it none is missed.
freeze() {
    kill -STOP "$server"
    kill -STOP $(members)
}

server=
stop() {
    # What is frozen does not end.
    [ -z "$server" ] || kill -CONT $(members) 2>/dev/null
    [ -z "$server" ] || { kill -QUIT "$server"; wait "$server"; server=; } 2>/dev/null
}

"$binaries/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync >log 2>&1 </dev/null

while read -r command port; do
    case $command in
    start)
        # One that a stopped server left behind would look ready. Sessions that have outlived a killed server keep the next
        # one from starting all the same: it looks at who has the shared memory of this directory.
        rm -f data/postmaster.pid
        "$binaries/postgres" -D data -p "$port" "$@" >>log 2>&1 </dev/null &
        server=$!
        tries=0
        until grep -Eq '^(ready|standby)' data/postmaster.pid 2>/dev/null; do
            # Waiting for `sleep` also reaps the server, without which it would seem alive after its end.
            sleep 0.05
            tries=$((tries + 1))
            [ $tries -lt 1200 ] && kill -0 "$server" 2>/dev/null || { stop; echo gone; continue 2; }
        done
        echo ready
        ;;
    kill)
        { kill -KILL "$server"; wait "$server"; } 2>/dev/null
        server=
        echo stopped
        ;;
    crash)
        { freeze; kill -KILL $(members); wait "$server"; } 2>/dev/null
        server=
        echo stopped
        ;;
    freeze)
        freeze 2>/dev/null
        echo frozen
        ;;
    thaw)
        kill -CONT $(members) 2>/dev/null
        echo thawed
        ;;
    stop)
        stop
        echo stopped
        ;;
    esac
done

stop
cd /
rm -rf "$directory"
