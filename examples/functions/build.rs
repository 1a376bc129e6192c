//! Makes Rust of `payments.proto`, by a compiler that is in Rust.

use std::{env, error::Error};

fn main() -> Result<(), Box<dyn Error>> {
    // What a guarded method or a step returns is recorded with serde.
    let builder = tonic_prost_build::configure()
        .message_attribute("Authorization", "#[derive(serde::Serialize, serde::Deserialize)]")
        .message_attribute("Receipt", "#[derive(serde::Serialize, serde::Deserialize)]");
    builder.compile_fds(protox::compile(["payments.proto"], [env::var("CARGO_MANIFEST_DIR")?])?)?;
    println!("cargo:rerun-if-changed=payments.proto");
    Ok(())
}
