//! The attribute's errors, pinned. `TRYBUILD=overwrite cargo test -p cratestack-tests --test ui` pins them anew.

#[test]
fn mistakes_do_not_compile() {
    trybuild::TestCases::new().compile_fail("ui/fail/*.rs");
}
