//! The checker finds what it is there for, in small sources that were made to have it.

use std::collections::BTreeMap;

use crate::circles::circles;
use crate::layers::arrows_up;
use crate::package::{Import, Package};
use crate::source::Source;

fn imports(files: &[(&str, &str)]) -> Vec<Import> {
    let files: BTreeMap<String, String> =
        files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    Package::new(&files, "lib.rs").imports()
}

/// From which file to which, without what is passed on.
fn arrows(imports: &[Import]) -> Vec<(&str, &str)> {
    let mut arrows: Vec<_> = imports
        .iter()
        .filter(|import| !import.passes_on && import.from != import.to)
        .map(|import| (&*import.from, &*import.to))
        .collect();
    arrows.dedup();
    arrows
}

const HOUSE: &str = "mod util; mod store; mod engine; mod stores; mod handle; mod http;
    #[path = \"private/mod.rs\"] pub mod __private; pub use store::Store;";

/// A house of one file for each layer, one of them with this text.
fn house(layer: &str, text: &str) -> Vec<String> {
    let mut files = vec![("lib.rs", HOUSE)];
    for (name, file, own) in [
        ("util", "util/mod.rs", "pub fn timeout() {}"),
        ("store", "store/mod.rs", "mod record; pub use record::Record; pub struct Store;"),
        ("record", "store/record.rs", "pub struct Record;"),
        ("engine", "engine/mod.rs", "pub struct Engine;"),
        ("stores", "stores/mod.rs", "pub struct Memory;"),
        ("handle", "handle/mod.rs", "pub struct Handle;"),
        ("http", "http/mod.rs", "pub struct Door; pub use crate::engine::Engine as Motor;"),
        ("private", "private/mod.rs", "pub struct Call;"),
    ] {
        files.push((file, if name == layer { text } else { own }));
    }
    arrows_up(&imports(&files))
}

#[test]
fn an_import_that_goes_down_is_right() {
    for (layer, text) in [
        ("store", "use crate::util::timeout;"),
        ("record", "use super::Store; fn f() { crate::util::timeout() }"),
        ("engine", "use crate::store::{Record, Store}; use crate::util;"),
        ("stores", "use crate::store::Store; use std::sync::Arc;"),
        ("handle", "use crate::engine::Engine;"),
        ("http", "use crate::handle::Handle; use http::StatusCode; pub use crate::engine::Engine as Motor;"),
        ("private", "use crate::http::Door; use crate::stores::Memory;"),
    ] {
        assert_eq!(house(layer, text), [""; 0], "{layer}: {text}");
    }
}

#[test]
fn an_import_that_goes_up_is_found_with_its_file_line_and_name() {
    assert_eq!(
        house("engine", "use crate::store::Store;\n\nuse crate::http::Door;"),
        ["engine/mod.rs:3: `http` is above `engine`: crate::http::Door"]
    );
    for (layer, text, what) in [
        ("util", "use crate::store::Record;", "`store` is above `util`: crate::store::Record"),
        ("record", "use super::super::engine::Engine;", "`engine` is above `store`: super::super::engine::Engine"),
        ("engine", "fn f() { crate::handle::Handle::new() }", "`handle` is above `engine`: crate::handle::Handle::new"),
        (
            "engine",
            "fn f() { let x = [matches!(1, crate::handle::A)]; }",
            "`handle` is above `engine`: crate::handle::A",
        ),
        ("engine", "use crate::{store::Store, handle as h};", "`handle` is above `engine`: crate::handle"),
        ("engine", "mod inner { use super::super::http::Door; }", "`http` is above `engine`: super::super::http::Door"),
        ("engine", "fn f() { use crate::http::Door; }", "`http` is above `engine`: crate::http::Door"),
        ("engine", "use crate::stores::Memory;", "`stores` is beside `engine`: crate::stores::Memory"),
        ("stores", "use crate::engine::Engine;", "`engine` is beside `stores`: crate::engine::Engine"),
        ("handle", "use crate::stores::Memory;", "`handle` knows no store: crate::stores::Memory"),
        ("http", "use crate::stores::Memory;", "`http` knows no store: crate::stores::Memory"),
        ("http", "use crate::__private::Call;", "`private` is above `http`: crate::__private::Call"),
    ] {
        let found = house(layer, text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].ends_with(&format!(": {what}")), "{text}: {found:?}");
    }
}

/// What is defined below is asked for above.
#[test]
fn an_import_through_a_higher_layer_goes_up() {
    for (layer, text) in [("engine", "use crate::Store;"), ("handle", "use crate::http::Motor;")] {
        assert_eq!(house(layer, text).len(), 1, "{text}");
    }
}

#[test]
fn what_is_for_tests_only_or_a_comment_or_a_text_is_no_import() {
    for text in [
        "#[cfg(test)] use crate::http::Door;",
        "#[cfg(test)] mod tests { use crate::http::Door; fn f() { crate::http::f() } }",
        "#[cfg(test)] #[path = \"x.rs\"] mod tests;",
        "struct A { #[cfg(test)] door: crate::http::Door, other: u8 }",
        "// use crate::http::Door;\n/// [`crate::http::Door`]\nstruct A;",
        "const A: &str = \"use crate::http::Door;\";",
        "fn f() -> impl Iterator + use<'_> { other::http::f() }",
    ] {
        assert_eq!(house("engine", text), [""; 0], "{text}");
    }
    let after = house("engine", "#[cfg(test)] fn f<A, B>() { crate::http::f() } use crate::http::Door;");
    assert_eq!(after.len(), 1, "what follows counts again: {after:?}");
}

#[test]
fn a_folder_that_the_order_does_not_name_is_found() {
    let found = arrows_up(&imports(&[
        ("lib.rs", "mod extract; mod util;"),
        ("extract.rs", ""),
        ("util.rs", "use crate::extract::E;"),
    ]));
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn two_files_that_need_each_other_are_a_circle_and_what_ties_them_is_named() {
    let found = circles(&imports(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B;\npub struct A; fn f(_: B) {}"),
        ("b.rs", "\npub struct B; fn f(_: super::a::A) {}"),
        ("c.rs", "use crate::a::A;"),
    ]));
    assert_eq!(
        found,
        ["a circle of 2 files:\n  a.rs → b.rs: crate::b::B (line 1)\n  b.rs → a.rs: super::a::A (line 2)"]
    );
}

#[test]
fn a_long_circle_is_found_once() {
    let found = circles(&imports(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "use crate::c::C; pub struct B;"),
        ("c.rs", "use crate::a::A; pub struct C;"),
    ]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("a circle of 3 files:"), "{found:?}");
}

/// `a` and `b` know each other through their parent, which passes them on.
#[test]
fn a_circle_through_re_exports_is_found_and_the_re_exports_are_no_part_of_it() {
    let files = [
        ("lib.rs", "mod x;"),
        ("x/mod.rs", "mod a; mod b; pub(crate) use a::A; pub use b::{self as c, B};"),
        ("x/a.rs", "use super::B; pub struct A;"),
        ("x/b.rs", "use crate::x::A as Other; pub struct B;"),
    ];
    assert_eq!(arrows(&imports(&files)), [("x/a.rs", "x/b.rs"), ("x/b.rs", "x/a.rs")]);
    let found = circles(&imports(&files));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("a circle of 2 files:"), "{found:?}");
}

#[test]
fn a_parent_that_passes_on_its_children_is_no_circle_and_one_that_uses_them_is() {
    let with = |parent| {
        circles(&imports(&[("lib.rs", "mod x;"), ("x/mod.rs", parent), ("x/a.rs", "use super::Shared; pub struct A;")]))
    };
    for passes_on in [
        "mod a; pub(crate) use a::A; pub struct Shared;",
        "mod a; pub(crate) use a::reserve; pub struct Shared { reserve: u8 } fn f(s: Shared) -> u8 { s.reserve }",
    ] {
        assert_eq!(with(passes_on), [""; 0], "{passes_on}");
    }
    for uses in [
        "mod a; pub(crate) use a::A; pub struct Shared(A);",
        "mod a; use a::A; pub struct Shared(A);",
        "mod a; pub struct Shared(a::A);",
        "mod a; use self::a as b; pub struct Shared(b::A);",
        "mod a; pub(crate) use a::A; pub struct Shared; fn f() { A::<Shared>::new() }",
        "mod a; pub(crate) use a::reserve; pub struct Shared; fn f() -> u8 { reserve() }",
    ] {
        assert_eq!(with(uses).len(), 1, "{uses}");
    }
}

#[test]
fn names_are_followed_over_modules_that_were_imported_renamed_or_globbed() {
    let files = |user| {
        let files = [
            ("lib.rs", "mod a; mod b; mod user; mod globs;"),
            ("a.rs", "pub use crate::b as c; pub use crate::b::B as Renamed;"),
            ("b.rs", "pub struct B; pub mod inner { pub struct I; }"),
            ("globs.rs", "pub use crate::b::*;"),
            ("user.rs", user),
        ];
        let imports = imports(&files);
        let arrows = arrows(&imports).into_iter().filter(|(from, _)| *from == "user.rs");
        arrows.map(|(_, to)| to.to_owned()).collect::<Vec<_>>()
    };
    for user in [
        "use crate::a::Renamed;",
        "use crate::a::c::B;",
        "use crate::a::c::inner::I;",
        "use crate::b::inner; fn f() { inner::I::new() }",
        "use crate::globs::B;",
        "use super::b::{inner::{I, J}, B};",
    ] {
        assert_eq!(files(user), ["b.rs"], "{user}");
    }
    assert_eq!(files("use b::B; fn f() { b::g() }"), [""; 0], "another crate's, as there is no `b` in this module");
}

#[test]
fn lines_for_tests_are_counted_apart() {
    let source = Source::parse("struct A;\n#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n\n#[cfg(test)]\nfn g() {}\n");
    assert_eq!(source.test_lines, 6);
}
