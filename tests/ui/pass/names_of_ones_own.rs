//! Types, modules and functions that are called like what the generated code needs.

#![deny(warnings)]
#![allow(dead_code, non_camel_case_types, non_upper_case_globals, clippy::upper_case_acronyms)]

mod std {}
mod core {}
mod serde {}

struct Result;
struct Option;
struct Box;
struct String;
struct Response;
struct Future;
struct Send;
struct Some;
struct Ok;
struct Guarded;
struct Argument;
struct Options;
enum u64 {}
enum bool {}
trait IntoResponse {}
trait AnyHandling {}

fn argument0() {}
fn handling() {}

#[expect(unused_macros)]
macro_rules! vec {
    () => {};
}

static call: i32 = 1;
static guarded: i32 = 2;
static outcome: i32 = 3;

#[cratestack_runtime::idempotent(ttl = "24h", lease = "30s", optional, record = success, body_limit = 1000)]
async fn pay(_: axum::http::Method, argument1: axum::http::Uri, argument0: axum::body::Bytes) -> axum::body::Bytes {
    let _ = argument1;
    argument0
}

#[cratestack_runtime::idempotent(key = (argument0, call))]
async fn keyed(axum::Json(argument0): axum::Json<i32>) -> axum::Json<i32> {
    axum::Json(argument0 + call + guarded + outcome)
}

fn main() {
    let _: axum::Router<cratestack_runtime::Idempotency> =
        axum::Router::new().route("/0", axum::routing::post(pay)).route("/1", axum::routing::post(keyed));
}
