use cratestack_runtime::idempotent;

#[idempotent]
fn pay() -> String {
    String::new()
}

fn main() {}
