//! README does what it says, read from its top: the program compiles from what README tells to add, runs, and moves money
//! once; and every other line of a shell block does what its reader expects of it.

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

/// What a program says to send.
fn printed_commands(service: &Service) -> Vec<String> {
    let printed = service.stdout();
    let commands: Vec<_> = printed.lines().filter(|line| line.starts_with("curl ")).map(str::to_owned).collect();
    assert!(!commands.is_empty(), "it says what to try: {printed}");
    commands
}

fn is_replay(printed: &str) -> bool {
    printed.to_lowercase().contains("\nidempotency-replayed: true\r\n")
}

fn body(printed: &str) -> &str {
    printed.split_once("\r\n\r\n").expect("`curl -i` prints the head").1
}

#[test]
fn the_first_program_is_the_whole_example() {
    let example = fs::read_to_string(root().join("examples/transfer/main.rs")).unwrap();
    let (purpose, rest) = example.split_once("\n\n").unwrap();
    assert!(purpose.starts_with("//! "), "{purpose}");
    assert_eq!(program(&readme()), rest.trim_end());
}

/// A newcomer with an empty folder beside a clone of this repository.
#[tokio::test]
async fn the_first_program_is_made_from_nothing_and_moves_money_once() {
    let page = readme();
    let folder = tempfile::tempdir().unwrap();
    symlink(root(), folder.path().join("cratestack")).unwrap();
    let target = root().join("target/neighbours");
    // Built as the packages beside the workspace are, most of it is built already.
    let variables =
        [("CARGO_TARGET_DIR", target.as_path()), ("CARGO_PROFILE_DEV_DEBUG", Path::new("line-tables-only"))];
    let set_up = blocks(&page, "console").into_iter().find(|block| block.starts_with("cargo new bank")).unwrap();
    paste(set_up, folder.path(), &variables);
    let bank = folder.path().join("bank");
    fs::write(bank.join("src/main.rs"), program(&page)).unwrap();
    let built = Command::new(env!("CARGO")).arg("build").current_dir(&bank).envs(variables).output().unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    assert!(!said.contains("warning"), "{said}");

    let service = Service::start(Settings::of_executable(target.join("debug/bank"))).await;
    let send = printed_commands(&service).remove(0);
    let run = |command: &str| paste(command, folder.path(), &[]);
    let [first, second] = [run(&send), run(&send)];
    assert!(first.starts_with("HTTP/1.1 200") && !is_replay(&first), "{first}");
    assert_eq!(body(&first), r#"{"alice":95,"bob":105}"#);
    assert!(second.starts_with("HTTP/1.1 200") && is_replay(&second), "{second}");
    assert_eq!(body(&second), body(&first));
    let another = run(&send.replace("\"amount\": 5", "\"amount\": 6"));
    assert!(another.starts_with("HTTP/1.1 422") && another.contains("idempotency_key_conflict"), "{another}");

    for (key, order) in [("t2", send.replace("bob", "nobody")), ("t3", send.replace("\"amount\": 5", "\"amount\": 96"))]
    {
        let refused = run(&order.replace("t1", key));
        assert!(refused.starts_with("HTTP/1.1 422"), "{refused}");
        assert_eq!(body(&refused), "no such account, or not enough in it");
    }
    let rest = run(&send.replace("t1", "t4").replace("\"amount\": 5", "\"amount\": 95"));
    assert_eq!(body(&rest), r#"{"alice":0,"bob":200}"#, "what was refused has moved nothing");
}

/// The rest of the blocks, top to bottom, in the clone. A `cargo run` line starts the example that `cargo build` has made,
/// on a free port instead of 3000; whatever follows is pasted beside it.
#[tokio::test]
async fn every_other_shell_block_runs_as_pasted() {
    let page = readme();
    let mut service = None;
    let (mut started, mut pasted) = (Vec::new(), 0);
    for block in blocks(&page, "console") {
        if block.starts_with("cargo new bank") {
            continue;
        }
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
