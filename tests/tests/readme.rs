//! README does what it says, read from its top: the program compiles from what README tells to add, runs, and finishes an
//! order; and every other line of a shell block does what its reader expects of it. (`order.rs` kills the program.)

// A test panics where its expectation fails.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use cratestack_tests::shell::paste;
use cratestack_tests::{Service, Settings};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above").to_owned()
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The blocks of a language, in their order.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("\n```{language}\n");
    page.split(&opening).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

fn program(page: &str) -> &str {
    blocks(page, "rust,no_run")[0]
}

fn is_replay(printed: &str) -> bool {
    printed.to_lowercase().contains("\nidempotency-replayed: true\r\n")
}

fn body(printed: &str) -> &str {
    printed.split_once("\r\n\r\n").expect("`curl -i` prints the head").1
}

#[test]
fn the_first_program_is_the_whole_example() {
    let example = fs::read_to_string(root().join("examples/order/main.rs")).unwrap();
    let (purpose, rest) = example.split_once("\n\n").unwrap();
    assert!(purpose.starts_with("//! "), "{purpose}");
    assert_eq!(program(&readme()), rest.trim_end());
}

/// The blocks below the program, and those of all other sections.
fn commands(page: &str) -> (Vec<&str>, Vec<&str>) {
    let (before, rest) = page.split_once("\n## A program\n").unwrap();
    let (program, after) = rest.split_once("\n## ").unwrap();
    (blocks(program, "console"), [before, after].into_iter().flat_map(|part| blocks(part, "console")).collect())
}

/// A newcomer with an empty folder beside a clone of this repository.
#[tokio::test]
async fn the_first_program_is_made_from_nothing_and_finishes_its_order() {
    let page = readme();
    let (blocks, _) = commands(&page);
    let [set_up, others, without_warehouse, with_both] = blocks[..] else { panic!("{blocks:#?}") };
    let folder = tempfile::tempdir().unwrap();
    symlink(root(), folder.path().join("cratestack")).unwrap();
    let target = root().join("target/neighbours");
    // Built as the packages beside the workspace are, most of it is built already.
    let variables =
        [("CARGO_TARGET_DIR", target.as_path()), ("CARGO_PROFILE_DEV_DEBUG", Path::new("line-tables-only"))];
    paste(set_up, folder.path(), &variables);
    let shop = folder.path().join("shop");
    fs::write(shop.join("src/main.rs"), program(&page)).unwrap();
    let built = Command::new(env!("CARGO")).arg("build").current_dir(&shop).envs(variables).output().unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    assert!(!said.contains("warning"), "{said}");

    assert_eq!(others, "PORT=3001 cargo run --example smallest");
    let others = Service::start(Settings::of("smallest")).await;
    let url = format!("http://{}/payments", others.address());
    let settings = |variables: &str| {
        let shop = Settings::of_executable(target.join("debug/shop"));
        variables.split(' ').fold(shop, |shop, variable| {
            let (name, value) = variable.split_once('=').unwrap();
            assert_eq!(value, "http://127.0.0.1:3001/payments");
            shop.set(name, &url)
        })
    };
    let [unfinished, finished] = [without_warehouse, with_both].map(|block| {
        let (start, send) = block.split_once('\n').unwrap();
        (settings(start.strip_suffix(" cargo run").unwrap()), send)
    });
    let twice = |service: &Service, send: &str| {
        let send = send.replace("127.0.0.1:3000", &service.address().to_string());
        [(); 2].map(|()| paste(&send, folder.path(), &[]))
    };
    let mut service = Service::start(unfinished.0).await;
    for answer in twice(&service, unfinished.1) {
        assert!(answer.starts_with("HTTP/1.1 503") && !is_replay(&answer), "{answer}");
    }
    service.restart_with(finished.0).await;
    let [first, second] = twice(&service, finished.1);
    assert!(first.starts_with("HTTP/1.1 200") && !is_replay(&first), "{first}");
    assert!(body(&first).contains("charge") && body(&first).contains("parcel"), "{first}");
    assert!(second.starts_with("HTTP/1.1 200") && is_replay(&second), "{second}");
    assert_eq!(body(&second), body(&first));
}

/// The rest of the blocks, top to bottom, in the clone. A `cargo run` line starts the example that `cargo build` has made,
/// on a free port instead of 3000; whatever follows is pasted beside it.
#[tokio::test]
async fn every_other_shell_block_runs_as_pasted() {
    let page = readme();
    let mut service = None;
    let (mut started, mut pasted) = (Vec::new(), 0);
    for block in commands(&page).1 {
        let mut rest = String::new();
        for line in block.lines() {
            let command = line.split(" #").next().unwrap().trim_end();
            if let Some(example) = command.strip_prefix("cargo run --example ") {
                drop(service.take());
                service = Some(Service::start(Settings::of(example)).await);
                started.push(example.to_owned());
            } else if command == "cargo test --workspace" {
                // It is what runs this test. That CI runs it is all that is left to see.
                let ci = fs::read_to_string(root().join(".ci/run")).unwrap();
                assert!(ci.trim_end().ends_with("cargo test --locked --workspace"), "{ci}");
            } else {
                rest.push_str(line);
                rest.push('\n');
            }
        }
        if let Some(service) = service.as_ref().filter(|_| !rest.is_empty()) {
            let rest = rest.replace("127.0.0.1:3000", &service.address().to_string());
            let [once, twice] = [(); 2].map(|()| paste(&rest, service.directory(), &[]));
            assert!(once.starts_with("HTTP/1.1 201") && !is_replay(&once), "{once}");
            assert!(is_replay(&twice), "{twice}");
            assert_eq!(body(&twice), body(&once), "the same bytes, and a list with one payment");
            pasted += 1;
        }
    }
    assert_eq!((started.as_slice(), pasted), (["payments".to_owned(), "payments".to_owned()].as_slice(), 1));
}

#[test]
fn it_can_be_read_in_a_minute() {
    let page = readme();
    let lines = page.lines().count();
    assert!(lines <= 190, "README has {lines} lines: what is not for the first minute has a page of its own in docs");
}
