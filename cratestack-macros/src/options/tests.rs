use std::fs;
use std::path::Path;

use proc_macro2::TokenStream;

use super::parse;
use super::table::{BuilderCall, Entry, TABLE};
use crate::mistake::Mistakes;

fn builder_and_mistakes(attribute: &str) -> (String, String) {
    let mut mistakes = Mistakes::default();
    let options = parse(attribute.parse().unwrap(), &mut mistakes);
    (options.builder(&TokenStream::new()).to_string(), mistakes.text())
}

fn mistakes_of(attribute: &str) -> String {
    builder_and_mistakes(attribute).1
}

#[test]
fn an_option_that_the_runtime_should_be_told_of_is_told() {
    let nothing = builder_and_mistakes("").0;
    for Entry { name, usage, builder_call, .. } in TABLE {
        let is_told = builder_and_mistakes(usage).0 != nothing;
        assert_eq!(is_told, !matches!(builder_call, BuilderCall::None), "{name}");
    }
}

/// The first word of every line that starts like this, in order.
fn named<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(start));
    lines.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap()).collect()
}

/// The lines from the one that starts like this to the next that starts like `end`.
fn excerpt(text: &str, start: &str, end: &str) -> String {
    let lines = text.lines().skip_while(|line| !line.starts_with(start));
    let after = lines.clone().skip(1).take_while(|line| !line.starts_with(end));
    lines.take(1).chain(after).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_documentation_has_every_option_and_no_other() {
    // It has a part in a file of its own.
    let part = include_str!("../functions.md").lines().map(|line| format!("/// {line}"));
    let source = include_str!("../lib.rs")
        .replace("#[doc = include_str!(\"functions.md\")]", &part.collect::<Vec<_>>().join("\n"));
    let lines = source.lines().filter_map(|line| line.strip_prefix("///"));
    let documentation = lines.map(str::trim_start).collect::<Vec<_>>().join("\n");
    let names: Vec<_> = TABLE.iter().map(|entry| entry.name).collect();
    assert_eq!(named(&documentation, "| [`"), names, "the table");
    assert_eq!(named(&documentation, "## `"), names, "the sections");
    for entry in TABLE {
        let row = excerpt(&documentation, &format!("| [`{}`]", entry.name), "");
        let section = excerpt(&documentation, &format!("## `{}`", entry.name), "#");
        for word in entry.words() {
            assert!(
                format!("{row}{section}").contains(&format!("`{word}`")),
                "`{}` does not tell of `{word}`",
                entry.name
            );
        }
        let example = excerpt(&documentation, &format!("## `{}`", entry.name), "async fn");
        let attribute = excerpt(&example, "#[idempotent(", "");
        assert!(attribute.contains(entry.name), "`{}` has no example", entry.name);
    }
}

#[test]
fn the_page_has_every_option_and_no_other() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/attribute.md")).unwrap();
    let section = excerpt(&page, "## Options", "## ");
    let mut rows = named(&section, "| `");
    let mut names: Vec<_> = TABLE.iter().map(|entry| entry.name).collect();
    rows.sort_unstable();
    names.sort_unstable();
    assert_eq!(rows, names);
    for entry in TABLE {
        let row = section.lines().find(|line| named(line, "| `") == [entry.name]).unwrap();
        for word in entry.words() {
            assert!(row.contains(word), "`{}` does not tell of `{word}`", entry.name);
        }
    }
}

#[test]
fn every_form_is_an_option() {
    for Entry { name, usage, in_transaction, .. } in TABLE {
        let mistake = if *in_transaction { "and this handler runs in none" } else { "" };
        assert!(mistakes_of(usage).contains(mistake), "{name}");
        let among = if *in_transaction { "transaction, " } else { "" };
        assert_eq!(mistakes_of(&format!("{among}{usage}")), "", "{name}");
        assert_eq!(mistakes_of(&format!("{among}{usage},")), "", "{name}");
    }
    assert_eq!(mistakes_of("ttl = \"24h\", lease = \"30s\", optional"), "");
}

#[test]
fn every_mistake_is_told() {
    let text = mistakes_of("tll = \"24h\", lease = \"30\", record = sucess, optional");
    for part in ["`ttl`?", "`30`", "`success`"] {
        assert!(text.contains(part), "{text}");
    }
}
