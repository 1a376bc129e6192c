use cratestack_runtime::idempotent;

#[idempotent]
mod payments {
    pub async fn pay() {}
}

fn main() {}
