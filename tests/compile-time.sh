#!/usr/bin/env bash
# What the attribute costs at compile time.
#
# Method: a package with 100 small handlers on one router is made twice in a temporary folder, bare and annotated, on the
# memory store, debug profile, not incremental. After one build of everything (dependencies included), only the package
# itself is built again, ROUNDS times each, the two taking turns; the medians are compared. `cargo check` likewise.
#
#   tests/compile-time.sh [ROUNDS]      (default 5)
set -euo pipefail
rounds=${1:-5}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CARGO_TARGET_DIR="$root/target/compile-time" CARGO_INCREMENTAL=0

package() {
    local name=$1 attribute=$2
    mkdir -p "$work/$name/src"
    cat > "$work/$name/Cargo.toml" <<TOML
[workspace]
[package]
name = "$name"
version = "0.1.0"
edition = "2024"
[dependencies]
axum = { version = "0.8", features = ["macros"] }
cratestack-runtime = { path = "$root/cratestack-runtime", default-features = false, features = ["macros"] }
serde = { version = "1", features = ["derive"] }
TOML
    {
        echo 'use axum::extract::{FromRef, Json, Path, State};'
        echo 'use axum::{Router, http::StatusCode, routing::post};'
        echo 'use cratestack_runtime::{Idempotency, MemoryStore};'
        echo '#[derive(Clone, FromRef)] struct App { idempotency: Idempotency, shop: String }'
        echo '#[derive(serde::Deserialize, serde::Serialize)] struct Pay { amount: u64, currency: String }'
        for n in $(seq 100); do
            echo "$attribute"
            echo "async fn pay$n(State(shop): State<String>, Path(id): Path<u64>, Json(pay): Json<Pay>)"
            echo "-> Result<(StatusCode, Json<Pay>), StatusCode> {"
            echo "    if shop.is_empty() || id == $n { return Err(StatusCode::NOT_FOUND); }"
            echo "    std::future::ready(()).await; Ok((StatusCode::CREATED, Json(pay))) }"
        done
        echo 'fn main() { let _: Router = Router::new()'
        for n in $(seq 100); do echo "    .route(\"/$n/{id}\", post(pay$n))"; done
        echo '    .with_state(App { idempotency: Idempotency::new(MemoryStore::new()), shop: String::new() }); }'
    } > "$work/$name/src/main.rs"
}

# Milliseconds that `cargo COMMAND` takes for the package alone.
once() {
    local command=$1 name=$2
    touch "$work/$name/src/main.rs"
    local start end
    start=$(date +%s%N)
    (cd "$work/$name" && cargo "$command" --quiet)
    end=$(date +%s%N)
    echo $(((end - start) / 1000000))
}

median() { sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }

package bare ''
package annotated '#[cratestack_runtime::idempotent]'
for command in build check; do
    for name in bare annotated; do (cd "$work/$name" && cargo "$command" --quiet); done
    for _ in $(seq "$rounds"); do
        for name in bare annotated; do once "$command" "$name" >> "$work/$command-$name"; done
    done
done
build_bare=$(median < "$work/build-bare") build_annotated=$(median < "$work/build-annotated")
check_bare=$(median < "$work/check-bare") check_annotated=$(median < "$work/check-annotated")
awk -v bare="$build_bare" -v annotated="$build_annotated" \
    'BEGIN { printf "build: %d ms bare, %d ms annotated, ratio %.2f\n", bare, annotated, annotated / bare }'
awk -v bare="$check_bare" -v annotated="$check_annotated" \
    'BEGIN { printf "check: %d ms bare, %d ms annotated, %.1f ms a handler\n", bare, annotated, (annotated - bare) / 100 }'
