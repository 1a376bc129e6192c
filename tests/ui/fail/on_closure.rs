use cratestack_runtime::idempotent;

fn routes() {
    let _ = #[idempotent]
    || async {};
}

fn main() {}
