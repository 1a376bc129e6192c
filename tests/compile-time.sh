#!/bin/sh
# What `#[idempotent]` costs at compile time: the same 100 handlers on one router, and the same 100 functions that are no
# handlers, bare and annotated.
#
# Method: two packages each that differ in the attribute alone, in a directory of their own that is kept between runs (the first
# argument, else target/compile-time), so that dependencies are built once. A handler takes a state, a path and a JSON body
# of a type of its own, awaits once, and returns a `Result` of a JSON response; a function takes the same and returns a
# `Result` of a value that both packages can serialize. Not incremental, debug, one job. After a
# first build of everything, the source is touched and the package alone is built again, the two in turn. Counted is the
# processor's time, the least of five, because whatever else the machine does only adds. Printed are
#   - `cargo build`: annotated ÷ bare (at most 1.4);
#   - `cargo check`: (annotated − bare) ÷ 100, in milliseconds a handler (at most 4);
#   - the latter of functions (at most 2).
# It fails when one of them is over its bound and the second argument is `strict`.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-$root/target/compile-time}
handlers=100
rounds=${ROUNDS:-5}

package() {
    mkdir -p "$work/$1/src"
    cat > "$work/$1/Cargo.toml" <<MANIFEST
[package]
name = "$1"
edition = "2024"

[workspace]

[dependencies]
axum = { version = "0.8", default-features = false, features = ["http1", "json", "macros", "tokio"] }
cratestack-runtime = { path = "$root/cratestack-runtime", default-features = false, features = ["axum", "macros"] }
serde = { version = "1", features = ["derive"] }

[profile.dev]
incremental = false
MANIFEST
    cp "$root/Cargo.lock" "$work/$1/Cargo.lock"
    {
        echo 'use axum::extract::{FromRef, Json, Path, State};'
        echo 'use axum::http::StatusCode;'
        echo 'use axum::{Router, routing::post};'
        echo 'use cratestack_runtime::{Idempotency, MemoryStore};'
        echo '#[derive(Clone, FromRef)] struct App { idempotency: Idempotency }'
        i=0
        while [ $i -lt $handlers ]; do
            echo "#[derive(serde::Deserialize)] struct Request$i { amount: u64 }"
            echo "#[derive(serde::Serialize)] struct Response$i { paid: u64 }"
            [ "$1" = bare ] || echo '#[cratestack_runtime::idempotent(ttl = "24h")]'
            echo "async fn handler$i(State(app): State<App>, Path(id): Path<u64>, Json(request): Json<Request$i>)"
            echo "    -> Result<(StatusCode, Json<Response$i>), StatusCode> {"
            echo "    std::future::ready(()).await; let _ = app;"
            echo "    if id == 0 { return Err(StatusCode::NOT_FOUND); }"
            echo "    Ok((StatusCode::CREATED, Json(Response$i { paid: request.amount })))"
            echo "}"
            i=$((i + 1))
        done
        echo 'fn main() {'
        echo '    let _: Router = Router::new()'
        i=0
        while [ $i -lt $handlers ]; do
            echo "        .route(\"/$i/{id}\", post(handler$i))"
            i=$((i + 1))
        done
        echo '        .with_state(App { idempotency: Idempotency::new(MemoryStore::new()) });'
        echo '}'
    } > "$work/$1/src/main.rs"
}

# Builds or checks one package, and prints the milliseconds that it took of the processor.
timed() {
    touch "$work/$2/src/main.rs"
    # The second line of `times` is what the children took: user and system, such as `0m1.230s 0m0.040s`.
    spent=$(CARGO_TARGET_DIR="$work/target" sh -ec 'cd "$1"; cargo "$2" --quiet --offline --jobs 1 >&2; times' sh "$work/$2" "$1")
    echo "$spent" |
        awk 'NR == 2 { for (i = 1; i <= 2; i++) { split($i, t, /[ms]/); sum += t[1] * 60 + t[2] } printf "%d\n", sum * 1000 }'
}

# The least of two numbers, of which the first may be missing.
least() {
    if [ -z "$1" ] || [ "$2" -lt "$1" ]; then echo "$2"; else echo "$1"; fi
}

functions() {
    package "$1"
    {
        echo '#![allow(dead_code)]'
        echo 'use cratestack_runtime::{GuardError, Idempotency};'
        i=0
        while [ $i -lt $handlers ]; do
            echo "struct Request$i { amount: u64 }"
            echo "#[derive(serde::Deserialize, serde::Serialize)] struct Receipt$i { paid: u64 }"
            [ "$1" = bare-functions ] ||
                echo "#[cratestack_runtime::idempotent(name = \"charge$i\", handle = app, key = id, ttl = \"24h\")]"
            echo "async fn charge$i(app: &Idempotency, id: u64, request: Request$i) -> Result<Receipt$i, GuardError> {"
            echo "    std::future::ready(()).await; let _ = (app, id);"
            echo "    Ok(Receipt$i { paid: request.amount })"
            echo "}"
            i=$((i + 1))
        done
        echo 'async fn all(app: &Idempotency) -> Result<(), GuardError> {'
        i=0
        while [ $i -lt $handlers ]; do
            echo "    charge$i(app, $i, Request$i { amount: $i }).await?;"
            i=$((i + 1))
        done
        echo '    Ok(())'
        echo '}'
        echo 'fn main() {}'
    } > "$work/$1/src/main.rs"
}

# Measures the command on both packages in turn, and leaves the least of each in `bare` and `annotated`.
measure() {
    timed "$1" "$2" > /dev/null
    timed "$1" "$3" > /dev/null
    bare= annotated= round=0
    while [ $round -lt $rounds ]; do
        # One at a time: a failure within an argument would go unnoticed.
        took=$(timed "$1" "$2")
        bare=$(least "$bare" "$took")
        took=$(timed "$1" "$3")
        annotated=$(least "$annotated" "$took")
        round=$((round + 1))
    done
}

package bare
package annotated
functions bare-functions
functions annotated-functions
over=0
for command in build check; do
    measure $command bare annotated
    case $command in
        build)
            ratio=$((annotated * 100 / bare))
            printf 'build: %d ms bare, %d ms annotated, %d.%02d times\n' "$bare" "$annotated" $((ratio / 100)) $((ratio % 100))
            [ $ratio -le 140 ] || over=1
            ;;
        check)
            each=$(((annotated - bare) * 10 / handlers))
            printf 'check: %d ms bare, %d ms annotated, %d.%d ms a handler\n' "$bare" "$annotated" $((each / 10)) $((each % 10))
            [ $each -le 40 ] || over=1
            ;;
    esac
done
measure check bare-functions annotated-functions
each=$(((annotated - bare) * 10 / handlers))
printf 'check: %d ms bare, %d ms annotated, %d.%d ms a function\n' "$bare" "$annotated" $((each / 10)) $((each % 10))
[ $each -le 20 ] || over=1
[ "${2:-}" != strict ] || exit $over
