use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn serialise(key: &str) -> String {
    format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
}

fn headers(values: &[&str]) -> HeaderMap {
    values.iter().map(|value| (IDEMPOTENCY_KEY, HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
}

#[test]
fn no_header_is_no_key() {
    assert_eq!(parse(&HeaderMap::new()), Ok(None));
}

#[test]
fn keys_that_are_accepted() {
    let longest = "k".repeat(255);
    let longest_quoted = serialise(&longest);
    let backslashes = "\\".repeat(255);
    // 255 characters once unescaped, 512 on the wire.
    let longest_escaped = serialise(&backslashes);
    let cases: &[(&str, &str)] = &[
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("k", "k"),
        ("\"k\"", "k"),
        ("  k  ", "k"),
        ("\t\"k\" \t", "k"),
        ("\" k \"", " k "),
        ("\"a b\"", "a b"),
        ("\"a,b;c\"", "a,b;c"),
        (r#""say \"hi\"""#, r#"say "hi""#),
        (r#""back\\slash""#, r"back\slash"),
        (r#""\\\"""#, r#"\""#),
        // Bare, these are other RFC 8941 types; as keys they are their own text.
        ("42", "42"),
        ("?1", "?1"),
        (":YQ==:", ":YQ==:"),
        ("tok/en:x", "tok/en:x"),
        ("'k'", "'k'"),
        ("(a)", "(a)"),
        ("!#$%&'()*+-./:<=>?@[]^_`{|}~", "!#$%&'()*+-./:<=>?@[]^_`{|}~"),
        (&longest, &longest),
        (&longest_quoted, &longest),
        (&longest_escaped, &backslashes),
    ];
    for (value, key) in cases {
        assert_eq!(parse(&headers(&[value])), Ok(Some((*key).into())), "{value}");
    }
}

#[test]
fn well_formed_parameters_are_ignored() {
    for parameters in [
        ";a",
        "; a",
        ";   a;b",
        ";a;a",
        ";*",
        ";*a_b-c.d*9",
        ";a=1",
        ";a=-1",
        ";a=0",
        ";a=-0",
        ";a=007",
        ";a=999999999999999",
        ";a=123456789012.123",
        ";a=-0.5",
        ";a=tok",
        ";a=T!#$%&'*+-.^_`|~:/9",
        ";a=*x",
        ";a=\"\"",
        ";a=\"x;y,\\\"\\\\\"",
        ";a=::",
        ";a=:YQ==:",
        ";a=:YWI=:",
        ";a=:YWJj:",
        ";a=:YQ:",
        ";a=:YWI:",
        ";a=:+/+/:",
        ";a=?0",
        ";a=?1;b",
        ";a=@1659578233",
        ";a=@-1",
        ";a=%\"\"",
        ";a=%\"f%c3%bc%22\"",
        ";a=%\"plain \\ text\"",
    ] {
        assert_eq!(parse_value(format!("\"k\"{parameters}").as_bytes()), Ok("k".into()), "{parameters}");
    }
}

#[test]
fn broken_parameters_are_refused() {
    for parameters in [
        ";",
        "; ",
        ";;a",
        ";a;",
        " ;a",
        ";A",
        ";1a",
        ";-a",
        ";a =1",
        ";a= 1",
        ";a=",
        ";a=;b",
        ";a=-",
        ";a=--1",
        ";a=+1",
        ";a=1.",
        ";a=.1",
        ";a=1.2.3",
        ";a=1.2345",
        ";a=1e3",
        ";a=1234567890123456",
        ";a=1234567890123.1",
        ";a=\"x",
        ";a=\"x\\",
        ";a=\"\\x\"",
        ";a=:YQ==",
        ";a=:Y:",
        ";a=:YQ=:",
        ";a=:YWI==:",
        ";a=:YWJj=:",
        ";a=:=:",
        ";a=:=YQ:",
        ";a=:Y Q:",
        ";a=:Y-_Q:",
        ";a=?",
        ";a=?2",
        ";a=?true",
        ";a=@",
        ";a=@1.5",
        ";a=@x",
        ";a=%",
        ";a=%x",
        ";a=%\"",
        ";a=%\"%",
        ";a=%\"%c\"",
        ";a=%\"%C3%BC\"",
        ";a=%\"%ff\"",
        ";a=(1 2)",
        ";a=1 b",
        ";a x",
        ";a\"",
    ] {
        let parsed = parse_value(format!("\"k\"{parameters}").as_bytes());
        assert_eq!(parsed, Err(KeyError::BadParameters), "{parameters}");
    }
}

#[test]
fn keys_that_are_refused() {
    let too_long = "k".repeat(256);
    let too_long_quoted = serialise(&too_long);
    let cases: &[(&[&str], KeyError)] = &[
        (&["a", "b"], KeyError::Repeated),
        (&["a", "a"], KeyError::Repeated),
        (&["", "a"], KeyError::Repeated),
        (&[""], KeyError::Empty),
        (&[" "], KeyError::Empty),
        (&[" \t "], KeyError::Empty),
        (&["\"\""], KeyError::Empty),
        (&["\"   \""], KeyError::Empty),
        (&["\"\";a=1"], KeyError::Empty),
        (&[&too_long], KeyError::TooLong),
        (&[&too_long_quoted], KeyError::TooLong),
        (&["schlüssel"], KeyError::NotAscii),
        (&["\"schlüssel\""], KeyError::NotAscii),
        (&["\"k\";a=\"ü\""], KeyError::NotAscii),
        (&["a\tb"], KeyError::ControlCharacter),
        (&["\"a\tb\""], KeyError::ControlCharacter),
        (&["\"k\";\ta"], KeyError::ControlCharacter),
        (&["a,b"], KeyError::List),
        (&["a, b"], KeyError::List),
        (&[","], KeyError::List),
        (&["\"a\",\"b\""], KeyError::List),
        (&["\"a\" , \"b\""], KeyError::List),
        (&["\"a\";x=1, \"b\""], KeyError::List),
        (&["\"a\","], KeyError::List),
        (&["\""], KeyError::Unterminated),
        (&["\"abc"], KeyError::Unterminated),
        (&["\"abc\\\""], KeyError::Unterminated),
        (&["\"abc\\"], KeyError::Unterminated),
        (&["\"a\\bc\""], KeyError::BadEscape),
        (&["\"a\\ \""], KeyError::BadEscape),
        (&["\"abc\"def"], KeyError::TrailingCharacters),
        (&["\"abc\" def"], KeyError::TrailingCharacters),
        (&["\"abc\"\""], KeyError::TrailingCharacters),
        (&["abc\""], KeyError::NeedsQuotes),
        (&["a\"b\"c"], KeyError::NeedsQuotes),
        (&["a b"], KeyError::NeedsQuotes),
        (&["a;b"], KeyError::NeedsQuotes),
        (&[r"a\b"], KeyError::NeedsQuotes),
    ];
    for (values, error) in cases {
        assert_eq!(parse(&headers(values)), Err(*error), "{values:?}");
    }
}

/// An HTTP parser lets neither through, but this one does not count on that.
#[test]
fn control_characters_that_no_header_value_can_hold() {
    for byte in (0..0x20).chain([0x7f]).filter(|&byte| byte != b'\t') {
        assert_eq!(parse_value(&[b'a', byte]), Err(KeyError::ControlCharacter), "{byte:#x}");
        assert_eq!(parse_value(&[b'"', b'a', byte, b'"']), Err(KeyError::ControlCharacter), "{byte:#x}");
    }
}

#[test]
fn errors_name_the_fix_and_never_the_value() {
    for value in ["sec ret", "\"secret", "\"secret\"x", "secret,secret", "\"sec\\ret\"", "\"secret\";", "secrét"] {
        let text = parse_value(value.as_bytes()).unwrap_err().to_string();
        assert!(!text.contains("sec"), "{text}");
        assert!(text.matches(". ").count() >= 1 && text.ends_with('.'), "{text}");
    }
}

/// Reaches deep into the grammar, well-formed or not.
const ITEM_LIKE: &str = r#"[ \t]?"?[a-c" \\]{0,4}"?(;[ a=*1.:?@%"\\-]{0,9}){0,3}[,x]?"#;

proptest! {
    #[test]
    fn any_bytes_are_a_key_or_an_error(bytes: Vec<u8>) {
        if let Ok(key) = parse_value(&bytes) {
            prop_assert!((1..=MAX_KEY_CHARS).contains(&key.len()));
            prop_assert!(key.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        }
    }

    #[test]
    fn anything_item_like_is_a_key_or_an_error(text in ITEM_LIKE) {
        if let Ok(key) = parse_value(text.as_bytes()) {
            prop_assert_eq!(parse_value(serialise(&key).as_bytes()), Ok(key));
        }
    }

    #[test]
    fn any_key_survives_quoting(key in "[ -~]{0,254}[!-~]") {
        prop_assert_eq!(parse(&headers(&[&serialise(&key)])), Ok(Some(key.into())));
    }

    #[test]
    fn both_spellings_are_one_key(key in r"[!#-+\--:<-\[\]-~]{1,255}") {
        prop_assert_eq!(parse(&headers(&[&key])), Ok(Some(key.as_str().into())));
        prop_assert_eq!(parse(&headers(&[&serialise(&key)])), Ok(Some(key.into())));
    }
}
