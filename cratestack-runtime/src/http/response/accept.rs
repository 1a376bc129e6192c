//! What of the two forms of a problem a request asks for (RFC 9110, 12.5.1).
//!
//! A range counts for all its parameters but `q`: there is one HTML here, and one JSON. What cannot be read is as good
//! as not said, and whoever says nothing of HTML gets JSON.

use http::HeaderMap;
use http::header::ACCEPT;

/// The form of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Representation {
    /// `application/problem+json`.
    #[default]
    Json,
    /// A page for a person.
    Html,
}

impl Representation {
    /// HTML, where that is preferred. A client that takes `application/json` takes problem details too.
    pub(crate) fn asked_for_by(headers: &HeaderMap) -> Self {
        let mut html = Preference::default();
        let mut json = [Preference::default(); 2];
        for value in headers.get_all(ACCEPT) {
            for range in split_unquoted(value.as_bytes(), b',') {
                let Some((kind, subtype, quality)) = media_range(range) else { continue };
                html.hear(kind, subtype, quality, "text", "html");
                json[0].hear(kind, subtype, quality, "application", "problem+json");
                json[1].hear(kind, subtype, quality, "application", "json");
            }
        }
        let json = json[0].quality.max(json[1].quality);
        if html.quality > json { Self::Html } else { Self::Json }
    }
}

/// How much one media type is wanted: the most specific range that it is in says so, and of several the kindest.
#[derive(Debug, Clone, Copy, Default)]
struct Preference {
    specificity: u8,
    /// In thousandths.
    quality: u16,
}

impl Preference {
    fn hear(&mut self, kind: &str, subtype: &str, quality: u16, own_kind: &str, own_subtype: &str) {
        let specificity = match (kind, subtype) {
            ("*", "*") => 1,
            (kind, "*") if kind.eq_ignore_ascii_case(own_kind) => 2,
            (kind, subtype) if kind.eq_ignore_ascii_case(own_kind) && subtype.eq_ignore_ascii_case(own_subtype) => 3,
            _ => return,
        };
        let heard = (specificity, quality);
        if heard > (self.specificity, self.quality) {
            (self.specificity, self.quality) = heard;
        }
    }
}

/// Type, subtype and quality of one range.
fn media_range(range: &[u8]) -> Option<(&str, &str, u16)> {
    let mut parts = split_unquoted(range, b';');
    let (kind, subtype) = std::str::from_utf8(parts.next()?).ok()?.trim_matches([' ', '\t']).split_once('/')?;
    if !is_token(kind) || !is_token(subtype) {
        return None;
    }
    for parameter in parts {
        let Some((name, value)) = std::str::from_utf8(parameter).ok().and_then(|text| text.split_once('=')) else {
            continue;
        };
        if name.trim_matches([' ', '\t']).eq_ignore_ascii_case("q") {
            return Some((kind, subtype, quality(value.trim_matches([' ', '\t']))?));
        }
    }
    Some((kind, subtype, 1000))
}

/// RFC 9110, 12.4.2: 0 to 1, with three digits after the point at most.
fn quality(value: &str) -> Option<u16> {
    let (whole, digits) = value.split_once('.').unwrap_or((value, ""));
    if digits.len() > 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths = digits.bytes().chain(*b"000").take(3).fold(0, |sum, digit| 10 * sum + u16::from(digit - b'0'));
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

/// RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The pieces between separators, but for separators in quoted strings (RFC 9110, 5.6.4).
fn split_unquoted(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |&byte| {
        let separates = byte == separator && !is_quoted;
        if byte == b'"' && !is_escaped {
            is_quoted = !is_quoted;
        }
        is_escaped = is_quoted && byte == b'\\' && !is_escaped;
        separates
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn asked_for_by(values: &[&[u8]]) -> Representation {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT, HeaderValue::from_bytes(value).unwrap());
        }
        Representation::asked_for_by(&headers)
    }

    #[test]
    fn browsers_get_html() {
        for accept in [
            // Firefox, Chromium and Safari, opening a page or sending a form.
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,\
             application/signed-exchange;v=b3;q=0.7",
            // Lynx, w3m.
            "text/html, text/plain, text/sgml, text/css, application/xhtml+xml, */*;q=0.01",
            "text/html, text/*;q=0.5, image/*",
            // Turbo, sending a form for a person.
            "text/vnd.turbo-stream.html, text/html, application/xhtml+xml",
            "TEXT/Html;Q=0.9 , application/JSON ; q=0.8",
            "text/html;q=0.001",
            "text/*",
            "*/*;q=0.1, text/*;q=0.2",
            "text/html;charset=utf-8;q=0.7, application/json;q=0.699",
        ] {
            assert_eq!(asked_for_by(&[accept.as_bytes()]), Representation::Html, "{accept}");
        }
        assert_eq!(asked_for_by(&[b"application/json;q=0.5", b"text/html"]), Representation::Html);
    }

    #[test]
    fn programs_get_json() {
        for accept in [
            "",
            "*/*",
            "application/json",
            "application/problem+json",
            "application/json, text/plain, */*",
            "application/json, text/html",
            "text/html, application/problem+json",
            "text/html, application/*",
            "text/html, */*",
            "text/html;q=0.9, application/json",
            "text/html;q=0, */*;q=0.1",
            "text/html;q=0",
            "text/html;q=0.5, text/html;q=0.4, application/json;q=0.5",
            // The most specific range counts.
            "text/html;q=0.3, text/*, application/json;q=0.4",
            "image/png",
            "text/plain",
            "text/htmlx, text/html/5, text, /html, text/, */html, te xt/html",
        ] {
            assert_eq!(asked_for_by(&[accept.as_bytes()]), Representation::Json, "{accept}");
        }
        assert_eq!(asked_for_by(&[]), Representation::Json);
        assert_eq!(asked_for_by(&[b"text/html", b"application/json"]), Representation::Json);
    }

    #[test]
    fn what_cannot_be_read_is_not_said() {
        for quality in ["2", "1.001", "-1", "0.1234", ".5", "", "0,5", "1.0.0", "0.\u{663}", "nan", "\"1\""] {
            let accept = format!("text/html;q={quality}");
            assert_eq!(asked_for_by(&[accept.as_bytes()]), Representation::Json, "{accept}");
        }
        for quality in ["1", "1.", "1.0", "1.000", "0.9", "0.001"] {
            let accept = format!("text/html; q={quality}, */*;q=0.0");
            assert_eq!(asked_for_by(&[accept.as_bytes()]), Representation::Html, "{accept}");
        }
        // A quoted string may hold anything.
        let quoted = br#"application/json;x="a,text/html;\"q=1,";q=0.5, text/html;y="\\";q=0.4"#;
        assert_eq!(asked_for_by(&[quoted]), Representation::Json);
        assert_eq!(asked_for_by(&[b"text/html;x=\"open, application/json"]), Representation::Html);
        assert_eq!(asked_for_by(&[b"\xff/\xfe, text/html"]), Representation::Html);
    }

    proptest! {
        #[test]
        fn anything_is_read_without_a_panic(value in "[ -~\t]{0,80}") {
            asked_for_by(&[value.as_bytes()]);
        }

        #[test]
        fn the_greater_quality_wins(html in 0_u16..=1000, json in 0_u16..=1000) {
            let spelt = |quality: u16| format!("{}.{:03}", quality / 1000, quality % 1000);
            let accept = format!("text/html;q={}, application/json;q={}", spelt(html), spelt(json));
            let expected = if html > json { Representation::Html } else { Representation::Json };
            prop_assert_eq!(asked_for_by(&[accept.as_bytes()]), expected);
        }
    }
}
